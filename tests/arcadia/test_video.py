from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from arcadia.errors import UserError
from arcadia.media import (
    Frame,
    Source,
    VideoSource,
    VideoWriter,
    open_sink,
    open_source,
    probe,
    read_video,
)

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


def test_a_film_rate_stays_exact(tmp_path: Path):
    write(tmp_path / "video.mp4", 12, Fraction(30000, 1001))
    assert probe(tmp_path / "video.mp4").fps == Fraction(30000, 1001)


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


def encode(path: Path, num_frames: int, codec: str = "libx264", **options: str) -> None:
    """A moving picture of soft noise with a key frame every twelve, as FFmpeg writes it."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8).repeat(8, 0)
    noise = noise.repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "12", **options})
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(num_frames):
            picture = np.ascontiguousarray(noise[:, 2 * index : 2 * index + 128])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def cut(path: Path, share: float) -> None:
    """Leaves only the first part of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def with_fast_start(path: Path, num_frames: int) -> None:
    """An MP4 with its index first, hence readable when it is cut off."""
    noise = np.random.default_rng(0).integers(0, 256, (num_frames, 64, 96, 3), np.uint8)
    with VideoWriter(path, 25) as video:
        for picture in noise:
            video.write(picture)


def read(source: Source, *args: Any, **kwargs: Any) -> tuple[list[Frame], str | None]:
    """What can be read, and the problem that is named then."""
    frames: list[Frame] = []
    try:
        for f in source.frames(*args, **kwargs):
            frames.append(f)
    except UserError as error:
        return frames, str(error)
    return frames, None


def assert_found_again(source: Source, starts: Iterable[int], num: int = 3) -> None:
    """Asserts that frames after a seek are those of a read from the beginning."""
    frames, _ = read(source)
    for start in starts:
        stop = min(start + num, len(frames))
        found, problem = read(source, start, stop, start_time=frames[start].time)
        assert problem is None
        assert [(f.index, f.time) for f in found] == [(f.index, f.time) for f in frames[start:stop]]
        for f in found:
            np.testing.assert_array_equal(f.image, frames[f.index].image)


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("bikes.mp4", [0, 1, 29, 30, 31, 75, 76, 140, 187, 200, 242, 249]),
        ("bigbuckbunny.mp4", [1, 60, 129]),
        ("tree.avi", [1, 24, 25, 26, 30, 49, 50, 51, 67]),
    ],
)
def test_a_seek_in_a_real_video_finds_the_same_frames(
    test_data: Path, name: str, starts: list[int]
):
    assert_found_again(open_source(test_data / "videos" / name), starts)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:bframes=3:scenecut=0"}),
        ("open.mkv", "libx264", {"x264-params": "open-gop=1:bframes=3:scenecut=0"}),
        ("refresh.mp4", "libx264", {"x264-params": "intra-refresh=1"}),
        ("clip.mkv", "libx264", {}),
        ("clip.ts", "libx264", {}),
        ("clip.avi", "mpeg4", {"bf": "2"}),
        ("clip.webm", "libvpx-vp9", {"deadline": "realtime"}),
    ],
)
def test_a_seek_finds_the_same_frames_in_every_container(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
):
    encode(tmp_path / name, 48, codec, **options)
    source = VideoSource(tmp_path / name)
    assert source.info.num_frames == 48 and not source.info.is_variable
    assert_found_again(source, range(0, 48), num=2)


def test_frames_are_a_slice_of_the_whole(tmp_path: Path):
    write(tmp_path / "video.mp4", 9)
    source = open_source(tmp_path / "video.mp4")

    def indices(*args: int | None) -> list[int]:
        return [f.index for f in source.frames(*args)]

    assert indices() == indices(0, None) == indices(0, 99) == list(range(9))
    assert indices(3, 6) == [3, 4, 5] and indices(4) == [4, 5, 6, 7, 8]
    assert indices(5, 5) == indices(9) == indices(20) == []
    assert [f.time for f in source.frames(3, 5)] == [Fraction(3, 25), Fraction(4, 25)]


def test_a_source_goes_to_another_process(tmp_path: Path):
    write(tmp_path / "video.mp4", 4)
    source = open_source(tmp_path / "video.mp4")
    assert source.info.num_frames == 4
    copy: Source = pickle.loads(pickle.dumps(source))
    assert [f.index for f in copy.frames(1, 3)] == [1, 2]


def test_times_of_a_variable_rate_are_the_files(tmp_path: Path):
    ticks = [0, 1, 2, 30, 31, 90, 91, 92]
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = 128, 96
        stream.codec_context.time_base = Fraction(1, 30)
        for index, tick in enumerate(ticks):
            picture = av.VideoFrame.from_ndarray(frame(index))
            picture.pts, picture.time_base = 60 + tick, Fraction(1, 30)  # starts at 2 s
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    source = VideoSource(tmp_path / "video.mp4")
    assert source.info.is_variable
    frames = list(source.frames())
    assert [f.time for f in frames] == [Fraction(tick, 30) for tick in ticks]
    assert all(f.is_stamped for f in frames)
    assert_found_again(source, range(8))
    copy = tmp_path / "copy.mp4"
    with open_sink(copy, info=source.info) as video:
        for f in frames:
            video.write(f.image, f.time)
    assert [f.time for f in VideoSource(copy).frames()] == [f.time for f in frames]


def test_a_rate_that_its_container_rounds_is_constant(tmp_path: Path):
    write(tmp_path / "video.mkv", 60, Fraction(30000, 1001))
    info = probe(tmp_path / "video.mkv")
    assert info.fps == Fraction(30000, 1001) and not info.is_variable


def test_frames_without_time_stamps_get_even_ones(tmp_path: Path):
    encode(tmp_path / "video.h264", 24)
    source = VideoSource(tmp_path / "video.h264")
    frames = list(source.frames())
    assert [f.index for f in frames] == list(range(24))
    assert [f.time for f in frames] == [Fraction(index, 25) for index in range(24)]
    assert not all(f.is_stamped for f in frames)


@pytest.mark.parametrize(
    ("name", "make", "match"),
    [
        ("video.mp4", with_fast_start, r"ends after \d+ of 48 frames"),
        ("video.mkv", encode, r"ends after \d+ frames, at \d\.\d\d of 1\.92 s"),
        ("video.avi", partial(encode, codec="mjpeg"), r"ends after \d+ of 48 frames"),
    ],
)
def test_of_a_file_that_is_cut_off_the_rest_is_named(
    tmp_path: Path, name: str, make: Callable[[Path, int], None], match: str
):
    make(tmp_path / name, 48)
    whole, problem = read(VideoSource(tmp_path / name))
    assert problem is None and len(whole) == 48
    cut(tmp_path / name, 0.7)
    source = VideoSource(tmp_path / name)
    part, problem = read(source)
    assert 20 < len(part) < 45
    for now, before in zip(part[:20], whole, strict=False):
        np.testing.assert_array_equal(now.image, before.image)
    assert problem is not None and re.search(match, problem), problem
    assert name in problem and len(problem.splitlines()) == 1
    assert str(len(part)) in problem
    assert source.info.num_frames == len(part) and source.info.claimed_frames == 48
    assert source.info.fps == 25
    # What can be read is found again without a word.
    assert_found_again(source, [0, 5, len(part) - 1])
    # A number that an earlier read did not give is missed.
    _, problem = read(source, 5, 48, start_time=part[5].time)
    assert problem is not None and f"ends after {len(part)} of 48 frames" in problem


def test_damage_in_the_middle_is_read_across_and_named(tmp_path: Path):
    path = tmp_path / "video.avi"
    encode(path, 20, "mjpeg")
    whole, _ = read(VideoSource(path))
    data = bytearray(path.read_bytes())
    at = [found.start() for found in re.finditer(b"\xff\xd8\xff", data)]
    assert len(at) == 20
    data[at[7] : at[8] - 8] = bytes(at[8] - 8 - at[7])
    path.write_bytes(data)
    frames, problem = read(VideoSource(path))
    assert [f.index for f in frames] == list(range(19))
    np.testing.assert_array_equal(frames[7].image, whole[8].image)
    assert frames[7].time == Fraction(8, 25)
    assert problem is not None and "1 frame cannot be decoded: Invalid data" in problem
    assert_found_again(VideoSource(path), [6, 7, 8, 18], num=1)


def test_a_whole_file_is_never_called_cut_off(tmp_path: Path):
    encode(tmp_path / "whole.mp4", 24)
    # Trimmed without encoding: the first frames are there, but an edit list hides them.
    with av.open(str(tmp_path / "whole.mp4")) as source:
        with av.open(str(tmp_path / "trimmed.mp4"), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.pts is not None and packet.dts is not None:
                    packet.pts, packet.dts = packet.pts - 5 * 512, packet.dts - 5 * 512
                    packet.stream = stream
                    target.mux(packet)
    source = VideoSource(tmp_path / "trimmed.mp4")
    frames, problem = read(source)
    assert problem is None and len(frames) == source.info.num_frames == 19
    assert_found_again(source, range(19), num=1)


def test_a_video_that_changes_its_size_ends_there(tmp_path: Path):
    for name, height in (("small.ts", 64), ("large.ts", 96)):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
            stream.width, stream.height = 128, height
            for index in range(5):
                picture = av.VideoFrame.from_ndarray(frame(index, height))
                picture.pts, picture.time_base = index + 10 * (height > 64), Fraction(1, 25)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    both = (tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    frames, problem = read(VideoSource(tmp_path / "both.ts"))
    assert [f.image.shape for f in frames] == [(64, 128, 3)] * 5
    assert problem is not None and "goes on as 128x96 after 128x64" in problem


def test_mirrors_and_turns_are_applied(tmp_path: Path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48], picture[32:, 48:] = PATCHES
    shown = {
        (0, False, False): picture,
        (90, False, False): np.rot90(picture),
        (180, False, False): np.rot90(picture, 2),
        (270, False, False): np.rot90(picture, 3),
        (0, True, False): picture[:, ::-1],
        (0, False, True): picture[::-1],
    }
    for (degrees, hflip, vflip), want in shown.items():
        path = tmp_path / f"{degrees}{hflip}{vflip}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
            stream.set_display_rotation(degrees, hflip, vflip)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode(None))
        (seen,) = read_video(path)
        info = probe(path)
        assert (info.height, info.width) == want.shape[:2] == seen.shape[:2]
        assert info.pixel_aspect == (Fraction(3, 4) if degrees % 180 else Fraction(4, 3))
        assert info.rotation == degrees or hflip or vflip
        inner = np.s_[8::16, 8::16]
        np.testing.assert_allclose(seen[inner].astype(int), want[inner], atol=8)


def test_a_file_without_pictures_is_told_in_one_line(tmp_path: Path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), "s16", "stereo")
        silence.sample_rate = 48000
        container.mux([*stream.encode(silence), *stream.encode(None)])
    for name in ("empty.mkv", "empty.mp4"):
        with av.open(str(tmp_path / name), "w") as container:
            container.add_stream("libx264", rate=25)
            container.start_encoding()
    for name in ("sound.mp4", "empty.mkv", "empty.mp4"):
        source = open_source(tmp_path / name)
        for access in (lambda s: s.info, lambda s: list(s.frames()), lambda s: list(s.frames(2))):
            with pytest.raises(UserError, match=rf"{name}: holds no video (stream|frame); give"):
                access(source)


def test_an_albums_cover_is_no_video(tmp_path: Path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(frame(0, 32, 32))))
        container.mux(cover.encode(None))
    with pytest.raises(UserError, match="holds no video stream"):
        probe(tmp_path / "song.mp4")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_stays_flat_over_a_long_read(tmp_path: Path):
    with VideoWriter(tmp_path / "video.mp4", 25, preset="ultrafast") as video:
        for index in range(300):
            video.write(frame(index, 240, 320))
    early = 0
    for f in VideoSource(tmp_path / "video.mp4").frames():
        if f.index == 50:
            early = resident_bytes()
    # 250 more frames are 58 MB.
    assert resident_bytes() - early < 5e6


@pytest.mark.parametrize(
    ("name", "num_frames", "duration_s"),
    [("carphone_pristine.mp4", 120, 4.004), ("bikes.mp4", 250, 10.0), ("tree.avi", 68, 29.6)],
)
def test_real_videos_have_as_many_frames_as_they_say(
    test_data: Path, name: str, num_frames: int, duration_s: float
):
    path = test_data / "videos" / name
    info = probe(path)
    assert info.num_frames == num_frames == sum(1 for _ in read_video(path))
    assert info.claimed_frames == num_frames
    assert info.duration_s == pytest.approx(duration_s, abs=0.01)


def test_a_list_of_other_files_is_no_video(tmp_path: Path):
    write(tmp_path / "private.mp4", 5)
    # FFmpeg knows it by its first words, whatever its name, and reads the files that it names.
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile private.mp4\n")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert len(list(container.decode(video=0))) == 5
    with pytest.raises(UserError, match=r"clip\.mp4: cannot be read as video"):
        probe(tmp_path / "clip.mp4")


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write(Path("take: 2.mp4"), 5)
    assert probe("take: 2.mp4").num_frames == 5


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(UserError, match=r"clip\.mp4: is a pipe"):
        probe(tmp_path / "clip.mp4")
