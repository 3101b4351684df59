from pathlib import Path

import numpy as np
import pytest
import torch

from arcadia.errors import UserError
from arcadia.media import VideoSource, open_source, probe
from pipelines.colorization.coloring.brush import Brush
from pipelines.colorization.coloring.films import Smoother, color_film
from pipelines.colorization.networks import Colorizer

from .conftest import scene


@pytest.fixture
def brush(network: Colorizer) -> Brush:
    return Brush(network)


def test_a_film_keeps_its_frames_times_and_levels(tmp_path: Path, make_film, brush: Brush):
    film = make_film(tmp_path / "film.mp4", 20, full_range=True)
    told: list[int] = []
    done = color_film(open_source(film), tmp_path / "out.mp4", brush, crf=1, on_frame=told.append)
    assert done == (20, "") and told == [16, 20]
    before, after = probe(film), probe(tmp_path / "out.mp4")
    for name in ("width", "height", "fps", "num_frames", "full_range", "has_audio"):
        assert getattr(before, name) == getattr(after, name), name
    frames = list(VideoSource(film).frames())
    for frame, result in zip(frames, VideoSource(tmp_path / "out.mp4").frames(), strict=True):
        assert frame.time == result.time
        wanted = brush(frame.image[None])[0].astype(int)
        assert np.abs(wanted - result.image).mean() < 4  # what 4:2:0 costs


def test_a_film_that_breaks_off_is_coloured_up_to_there(tmp_path: Path, make_film, brush: Brush):
    data = make_film(tmp_path / "film.mp4", 14).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(len(data) * 0.8)])
    done = color_film(open_source(tmp_path / "cut.mp4"), tmp_path / "out.mp4", brush)
    assert 1 <= done.frames < 14 and "ends after" in done.problem
    assert probe(tmp_path / "out.mp4").num_frames == done.frames


def test_a_film_of_which_nothing_can_be_read_leaves_nothing(tmp_path: Path, brush: Brush):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(UserError, match="cannot be read as video"):
        color_film(open_source(tmp_path / "text.mp4"), tmp_path / "out.mp4", brush)
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_an_interrupted_film_leaves_what_was_there(tmp_path: Path, make_film, brush: Brush):
    film = make_film(tmp_path / "film.mp4", 40)
    (tmp_path / "out.mp4").write_bytes(b"before")

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        color_film(open_source(film), tmp_path / "out.mp4", brush, on_frame=stop)
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def flat(value: float) -> torch.Tensor:
    return torch.full((2, 16, 24), value)


def test_colours_of_a_still_picture_are_a_running_mean():
    smoother = Smoother(0.75, cuts=[0, 3])
    image = scene(0, 0)
    got = [smoother(n, image, flat(value)) for n, value in enumerate([1.0, 0.0, 0.0, 0.5, 0.5])]
    means = [float(color.mean()) for color in got]
    assert means == pytest.approx([1, 0.75, 0.5625, 0.5, 0.5], abs=1e-6)  # a cut begins anew


def test_colours_go_with_what_moves():
    """A square of its own colour on a textured ground, both still in their colours."""
    rng = np.random.default_rng(0)
    ground, square = (rng.integers(0, 256, (n, n, 3), np.uint8) for n in (96, 40))
    smoother = Smoother(0.9, cuts=[0])
    for step in range(4):
        image, color = ground.copy(), torch.zeros(2, 96, 96)
        image[20:60, 10 + 3 * step : 50 + 3 * step] = square
        color[:, 20:60, 10 + 3 * step : 50 + 3 * step] = 1
        got = smoother(step, image, color)
    assert float(got[:, 25:55, 24:54].mean()) > 0.97  # within
    assert float(got[:, 25:55, 10:15].mean()) < 0.05  # no trail behind it


def test_smoothing_makes_a_flickering_network_steadier(tmp_path, make_film, network):
    class Flickering(Brush):
        def look(self, images):
            lightness, color = super().look(images)
            signs = torch.tensor([1.0, -1.0]).repeat(len(images))[: len(images)]
            return lightness, color + 0.05 * signs.view(-1, 1, 1, 1)

    film = make_film(tmp_path / "film.mp4", 16)

    def flicker(smoothing: float) -> float:
        unsteady = Flickering(network)
        color_film(open_source(film), tmp_path / "out.mp4", unsteady, crf=1, smoothing=smoothing)
        frames = [frame.image.astype(float) for frame in VideoSource(tmp_path / "out.mp4").frames()]
        red_less_blue = [(frame[:, :, 0] - frame[:, :, 2]).mean() for frame in frames]
        return float(np.abs(np.diff(red_less_blue)).mean())

    plain = flicker(0)
    assert plain > 5 and flicker(0.8) < 0.6 * plain
