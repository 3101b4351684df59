import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import VideoSource, open_source, resized, scaled_size
from pipelines.stylization.shot_frames import ShotFrames


@pytest.fixture(scope="module")
def film(tmp_path_factory, make_film) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 20, 20)


class Watched:
    """A source that notes what is read of it."""

    def __init__(self, path: Path):
        self._source = open_source(path)
        self.path, self.info = self._source.path, self._source.info
        self.reads: list[tuple[int, int]] = []

    def frames(self, start=0, stop=None, *, start_time=None):
        self.reads.append((start, 0))
        for frame in self._source.frames(start, stop, start_time=start_time):
            self.reads[-1] = (start, self.reads[-1][1] + 1)
            yield frame


@pytest.mark.parametrize("can_seek", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_frames_are_those_of_the_video_in_any_order(film: Path, can_seek: bool, order: int):
    whole = list(VideoSource(film).frames())
    times = [frame.time for frame in whole]
    frames = ShotFrames(
        open_source(film), 5, 37, lambda n: times[n] if can_seek else None, (32, 48)
    )
    for number in range(5, 37)[::order]:
        np.testing.assert_array_equal(frames[number], whole[number].image)
    for number in (4, 37, -1):
        with pytest.raises(IndexError, match=f"frame {number}: want 5 to 36"):
            frames[number]


def test_going_forward_decodes_each_frame_once(film: Path):
    source = Watched(film)
    frames = ShotFrames(source, 3, 40, lambda n: None, (32, 48))
    for number in range(3, 40):
        for span in (1, 2, 4):  # what the flow looks at
            frames[max(number - span, 3)]
        frames[number]
    assert source.reads == [(3, 37)]


def test_threads_get_the_same_frames(film: Path):
    whole = [frame.image for frame in VideoSource(film).frames()]
    frames = ShotFrames(open_source(film), 0, 40, lambda n: None, (32, 48))
    with ThreadPoolExecutor(4) as pool:
        numbers = [n % 40 for n in range(0, 200, 3)]
        for number, got in zip(numbers, pool.map(frames.__getitem__, numbers), strict=True):
            np.testing.assert_array_equal(got, whole[number])
    assert threading.active_count() < 50


def test_frames_come_at_the_size_that_is_painted(film: Path):
    frames = ShotFrames(open_source(film), 0, 3, lambda n: None, (20, 30))
    assert frames[2].shape == (20, 30, 3)


def test_a_file_that_became_shorter_is_named(film: Path, tmp_path: Path, make_film):
    path = make_film(tmp_path / "short.mp4", 10)
    frames = ShotFrames(open_source(path), 0, 40, lambda n: None, (32, 48))
    assert frames[7].shape == (32, 48, 3)
    with pytest.raises(UserError, match=r"short\.mp4: frame 10 could be read before.*changed\?"):
        frames[8]


@pytest.mark.parametrize(
    ("height", "width", "longest", "expected"),
    [
        (720, 1280, None, (720, 1280)),
        (720, 1280, 512, (288, 512)),
        (1280, 720, 512, (512, 288)),
        (100, 100, 200, (200, 200)),
        (10, 3000, 100, (1, 100)),
    ],
)
def test_the_longest_side_is_given_and_the_shape_kept(height, width, longest, expected):
    assert scaled_size(height, width, longest) == expected


def test_making_smaller_averages_and_the_same_size_stays():
    fine = np.indices((32, 48)).sum(0)[:, :, None].repeat(3, 2) % 2 * np.uint8(200)
    fine = fine.astype(np.uint8)
    np.testing.assert_allclose(resized(fine, (16, 24)).astype(int), 100, atol=1)
    assert resized(fine, (32, 48)) is fine
    assert resized(fine, (64, 96)).shape == (64, 96, 3)
