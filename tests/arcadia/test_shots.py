from __future__ import annotations

import itertools
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import scenedetect

from arcadia.errors import UserError
from arcadia.media import PictureSource, VideoSource, VideoWriter, open_source, write_image
from arcadia.media.shots import Detector, scan

CUTS = [30, 76, 137, 187, 242]


def scene(kind: int, index: int) -> np.ndarray:
    """A pan by a pixel a frame along a wall that grows brighter: grey, red, white or blue."""
    wall = np.full((32, 48, 3), 20, np.uint8)
    wall[..., [[], [0], [0, 1, 2], [2]][kind % 4]] = 160
    return wall + (np.arange(48, dtype=np.uint8) + index)[:, None] // 2


def film(path: Path, *lengths: int) -> Path:
    with VideoWriter(path, 25, crf=10) as video:
        for kind, length in enumerate(lengths):
            for index in range(length):
                video.write(scene(kind, index))
    return path


@pytest.mark.parametrize("detector", ["content", "adaptive"])
def test_the_cuts_of_a_real_video_are_found(test_data: Path, detector: Detector):
    seen: list[int] = []
    path = test_data / "videos" / "bikes.mp4"
    found = scan(open_source(path), detector=detector, on_frame=seen.append)
    bounds = [0, *CUTS, 250]
    assert found.shots == tuple(itertools.pairwise(bounds))
    assert found.times == tuple(Fraction(index, 25) for index in range(250))
    assert found.problem is None and found.can_seek
    assert seen == list(range(1, 251))
    for start, _ in found.shots[1:]:
        (frame,) = open_source(path).frames(start, start + 1, start_time=found.start_time(start))
        assert frame.index == start


def test_cuts_are_those_that_pyscenedetect_finds_by_itself(tmp_path: Path):
    path = film(tmp_path / "film.mp4", 20, 9, 17, 30, 4, 22)
    scenes = scenedetect.detect(str(path), scenedetect.ContentDetector())
    shots = [(start.frame_num, end.frame_num) for start, end in scenes]
    assert len(shots) > 3
    assert scan(open_source(path)).shots == tuple(shots)


def test_one_shot_is_one_shot(test_data: Path):
    assert scan(open_source(test_data / "videos" / "carphone_pristine.mp4")).shots == ((0, 120),)


def test_a_stretch_keeps_the_numbers_of_the_whole(tmp_path: Path):
    found = scan(VideoSource(film(tmp_path / "film.mp4", 20, 25, 20)), 4, 55)
    assert found.shots == ((4, 20), (20, 45), (45, 55))
    assert len(found.times) == 51 and found.times[0] == Fraction(4, 25)
    assert found.start_time(20) == Fraction(20, 25)


def test_threshold_and_shortest_shot_are_the_users(tmp_path: Path):
    source = VideoSource(film(tmp_path / "film.mp4", 20, 6, 6, 20))
    assert scan(source, threshold=200.0).shots == ((0, 52),)
    assert scan(source, min_shot_frames=3).shots == ((0, 20), (20, 26), (26, 32), (32, 52))
    assert all(stop - start >= 10 for start, stop in scan(source, min_shot_frames=10).shots)
    with pytest.raises(ValueError, match="min_shot_frames 0"):
        scan(source, min_shot_frames=0)


def test_of_a_file_that_is_cut_off_the_rest_is_a_problem(tmp_path: Path):
    path = film(tmp_path / "film.mp4", 30, 30, 30)
    os.truncate(path, int(path.stat().st_size * 0.8))
    found = scan(VideoSource(path))
    last = found.shots[-1][1]
    assert 40 < last < 90 and len(found.times) == last
    assert found.shots[:2] == ((0, 30), (30, min(60, last)))
    assert found.problem is not None and f"ends after {last} of 90 frames" in found.problem


def test_nothing_to_scan_is_an_error(tmp_path: Path):
    source = VideoSource(film(tmp_path / "film.mp4", 5))
    with pytest.raises(UserError, match=r"film\.mp4: has no frame 7; start earlier"):
        scan(source, 7)
    (tmp_path / "text.mp4").write_text("text " * 99)
    with pytest.raises(UserError, match=r"text\.mp4: cannot be read as video"):
        scan(VideoSource(tmp_path / "text.mp4"))


def test_pictures_have_shots_too(tmp_path: Path):
    for index in range(40):
        write_image(tmp_path / f"{index}.png", scene(index // 20, index % 20))
    assert scan(PictureSource(tmp_path)).shots == ((0, 20), (20, 40))


def test_made_up_times_are_not_for_seeking(tmp_path: Path):
    path = film(tmp_path / "film.mp4", 20, 20)
    with av.open(str(path)) as source, av.open(str(tmp_path / "film.h264"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    found = scan(VideoSource(tmp_path / "film.h264"))
    assert found.shots == ((0, 20), (20, 40))
    assert not found.can_seek and found.start_time(20) is None
