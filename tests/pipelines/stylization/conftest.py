"""Small films and options that are painted in a moment."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from arcadia.media import VideoWriter, write_image
from pipelines.stylization.config import StyleOptions

SMALL = dict(
    content_layers=("relu2_1",),
    style_layers=("relu1_1", "relu2_1"),
    flow="dis_medium",
    iterations_first=3,
    iterations=2,
    pass_iterations=2,
)


def scene(shot: int, index: int) -> np.ndarray:
    """A square that moves over stripes, of other colours in each shot; uint8 (32, 48, 3)."""
    y, x = np.mgrid[:32, :48]
    picture = np.stack([x * 5, y * 7, (x + y) * 3], -1).astype(np.uint8)
    if shot % 2:
        picture = 255 - picture[:, :, ::-1] // 2
    left = 2 + 2 * (index % 16)
    picture[8:20, left : left + 12] = (230, 40, 30) if shot % 2 == 0 else (10, 20, 60)
    return picture


@pytest.fixture(scope="session")
def make_film() -> Callable[..., Path]:
    """Writes a film of shots of these lengths; a cut is found between shots of 15 frames."""

    def make(path: Path, *lengths: int, **options) -> Path:
        with VideoWriter(path, 25, crf=5, **options) as video:
            for shot, length in enumerate(lengths):
                for index in range(length):
                    video.write(scene(shot, index))
        return path

    return make


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    """A shot of eight frames."""
    return [scene(0, index) for index in range(8)]


@pytest.fixture(scope="session")
def style_hwc() -> np.ndarray:
    """Squares of colour, uint8 (40, 56, 3)."""
    colors = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return colors.repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="session")
def style(tmp_path_factory, style_hwc: np.ndarray) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("style") / "squares.png"
    write_image(path, style_hwc)
    return path


@pytest.fixture(scope="session")
def small() -> Callable[..., StyleOptions]:
    """Options that take a moment a frame."""
    return lambda **overrides: StyleOptions(**(SMALL | overrides))


@pytest.fixture(scope="session")
def small_words() -> list[str]:
    """The same for the command line, with a seed."""
    words = ["--seed", "5"]
    for name, value in SMALL.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    """A video of two seconds with a tone, in AAC."""
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 32
        audio = container.add_stream("aac", rate=48000)
        for index in range(50):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        for at in range(0, 96000, 1024):
            wave = (8000 * np.sin(np.arange(at, at + 1024) / 20)).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(wave.repeat(2)[None], "s16", "stereo")
            heard.sample_rate, heard.pts = 48000, at
            container.mux(audio.encode(heard))
        container.mux([*video.encode(None), *audio.encode(None)])
    return path
