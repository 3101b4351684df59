from __future__ import annotations

import numpy as np
import pytest

from pipelines.flow import flow_picture


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        # Right is red; then by the wheel's steps: down 13.5 of 15 to yellow, left 2 of 11 from
        # cyan to blue, up 4.5 of 13 from blue to magenta.
        ((1, 0), (255, 0, 0)),
        ((0, 1), (255, 229, 0)),
        ((-1, 0), (0, 208, 255)),
        ((0, -1), (88, 0, 255)),
        ((0, 0), (255, 255, 255)),
        ((0.5, 0), (255, 127, 127)),
        ((2, 0), (191, 0, 0)),
    ],
)
def test_a_direction_has_its_color(vector: tuple[float, float], color: tuple[int, int, int]):
    flow = np.float32(vector).reshape(2, 1, 1)
    picture = flow_picture(flow, longest_px=1)
    assert picture.dtype == np.uint8 and picture.shape == (1, 1, 3)
    np.testing.assert_allclose(picture[0, 0].astype(int), color, atol=1)


def test_the_longest_vector_has_full_color_and_the_unknown_is_black():
    flow = np.zeros((2, 1, 3), np.float32)
    flow[0, 0] = 4, 8, np.nan
    assert flow_picture(flow).tolist() == [[[255, 127, 127], [255, 0, 0], [0, 0, 0]]]
    assert (flow_picture(np.zeros((2, 3, 3), np.float32)) == 255).all()


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"flow has shape \(4, 5, 2\)"):
        flow_picture(np.zeros((4, 5, 2)))
