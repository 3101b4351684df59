import numpy as np
from kornia.color import rgb_to_yuv
from torch import from_numpy

from pipelines.stylization.colors import with_colors_of


def yuv(picture: np.ndarray) -> np.ndarray:
    return rgb_to_yuv(from_numpy(picture).permute(2, 0, 1).float() / 255).numpy()


def test_the_lightness_is_the_paintings_and_the_colours_are_the_sources():
    rng = np.random.default_rng(0)
    # Muted, so that nothing is clipped.
    painted, source = (rng.integers(100, 156, (16, 24, 3), np.uint8) for _ in range(2))
    joined = with_colors_of(painted, source)
    assert joined.dtype == np.uint8 and joined.shape == painted.shape
    np.testing.assert_allclose(yuv(joined)[0], yuv(painted)[0], atol=0.005)
    np.testing.assert_allclose(yuv(joined)[1:], yuv(source)[1:], atol=0.01)


def test_a_picture_with_its_own_colours_stays():
    picture = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    np.testing.assert_allclose(with_colors_of(picture, picture).astype(int), picture, atol=1)


def test_a_grey_source_gives_a_grey_picture():
    painted = np.random.default_rng(2).integers(0, 256, (9, 7, 3), np.uint8)
    joined = with_colors_of(painted, np.full((9, 7, 3), 90, np.uint8)).astype(int)
    assert np.ptp(joined, axis=2).max() <= 1
