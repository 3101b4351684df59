from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import VideoWriter, probe, read_video

PATCHES = np.array([(220, 40, 30), (30, 200, 60), (40, 60, 230), (128, 128, 128)], np.uint8)


def frame(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Four upright stripes of colour that move along."""
    columns = (np.arange(width) * 4 // width + index) % 4
    return np.broadcast_to(PATCHES[columns], (height, width, 3)).copy()


def write(path: Path, num_frames: int, fps: float | Fraction = 25, **size: int) -> None:
    with VideoWriter(path, fps, crf=10) as video:
        for index in range(num_frames):
            video.write(frame(index, **size))


def test_frames_come_back_in_order_number_and_colour(tmp_path: Path):
    path = tmp_path / "new" / "video.mp4"
    write(path, 30)
    info = probe(path)
    assert (info.width, info.height, info.fps, info.num_frames) == (128, 96, 25, 30)
    assert info.duration_s == pytest.approx(1.2) and not info.has_audio
    frames = list(read_video(path))
    assert len(frames) == 30
    for index, read in enumerate(frames):
        assert read.dtype == np.uint8 and read.shape == (96, 128, 3)
        inner = np.s_[:, 4::32]  # away from the stripes' edges, where 4:2:0 blends
        np.testing.assert_allclose(read[inner].astype(int), frame(index)[inner], atol=6)
    assert os.listdir(path.parent) == ["video.mp4"]


def test_the_index_comes_first_so_that_browsers_start_at_once(tmp_path: Path):
    write(tmp_path / "video.mp4", 3)
    data = (tmp_path / "video.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_film_rate_stays_exact(tmp_path: Path):
    write(tmp_path / "video.mp4", 12, Fraction(30000, 1001))
    assert probe(tmp_path / "video.mp4").fps == Fraction(30000, 1001)


def test_odd_sizes_are_padded_with_their_edge(tmp_path: Path):
    write(tmp_path / "video.mp4", 5, height=61, width=83)
    (first, *_) = read_video(tmp_path / "video.mp4")
    assert first.shape == (62, 84, 3)
    np.testing.assert_allclose(first[:, -1].mean(0), PATCHES[3], atol=6)


def test_a_failed_video_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "video.mp4"
    write(path, 4)
    with pytest.raises(FileNotFoundError, match="of the block"), VideoWriter(path, 25) as video:
        video.write(frame(0))
        raise FileNotFoundError("of the block")
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(path, 25):
        pass
    assert probe(path).num_frames == 4
    assert os.listdir(tmp_path) == ["video.mp4"]


@pytest.mark.parametrize(
    "wrong",
    [frame(0, 96, 130), frame(0)[..., :1], frame(0)[..., 0], frame(0).astype(np.float32)],
    ids=["size", "channels", "grey", "dtype"],
)
def test_a_frame_unlike_the_first_is_refused(tmp_path: Path, wrong: np.ndarray):
    with pytest.raises(ValueError, match=r"want .*got"):
        with VideoWriter(tmp_path / "video.mp4", 25) as video:
            video.write(frame(0))
            video.write(wrong)
    assert os.listdir(tmp_path) == []


def test_a_camera_on_its_side_is_set_upright(tmp_path: Path):
    path = tmp_path / "video.mp4"
    write(path, 3)
    data = bytearray(path.read_bytes())
    # The matrix of the track's header: from the identity to a quarter turn clockwise.
    one, zero, unit = b"\0\1\0\0", b"\0\0\0\0", b"\x40\0\0\0"
    upright = one + zero * 3 + one + zero * 3 + unit
    turned = zero + one + zero + b"\xff\xff\0\0" + zero * 4 + unit
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + len(turned)] = turned
    path.write_bytes(data)
    info = probe(path)
    assert (info.width, info.height) == (96, 128)
    (first, *_) = read_video(path)
    # Its left edge has become the upper one.
    np.testing.assert_allclose(first[4].mean(0), PATCHES[0], atol=6)
    np.testing.assert_allclose(first[-4].mean(0), PATCHES[3], atol=6)


def test_what_is_no_video_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.mp4: no such file"):
        probe(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    with pytest.raises(UserError, match=r"text\.mp4: cannot be read as video: Invalid data"):
        list(read_video(tmp_path / "text.mp4"))


def test_a_file_in_the_way_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"video\.mp4: cannot write: Not a directory"):
        write(tmp_path / "file" / "video.mp4", 1)


@pytest.mark.skipif("ARCADIA_TEST_DATA" not in os.environ, reason="ARCADIA_TEST_DATA is not set")
@pytest.mark.parametrize(
    ("name", "num_frames", "duration_s"),
    [("carphone_pristine.mp4", 120, 4.004), ("bikes.mp4", 250, 10.0), ("tree.avi", 68, 29.6)],
)
def test_real_videos_have_as_many_frames_as_they_say(name: str, num_frames: int, duration_s: float):
    path = Path(os.environ["ARCADIA_TEST_DATA"], "videos", name)
    info = probe(path)
    assert info.num_frames == num_frames == sum(1 for _ in read_video(path))
    assert info.duration_s == pytest.approx(duration_s, abs=0.01)
