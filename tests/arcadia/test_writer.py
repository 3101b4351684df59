from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from arcadia.errors import UserError
from arcadia.media import VideoInfo, VideoWriter, open_sink, probe, read_video
from arcadia.media.video import VideoSource

PATCHES = np.array([(220, 40, 30), (30, 200, 60), (40, 60, 230), (128, 128, 128)], np.uint8)
SMALL = VideoInfo(width=32, height=32, fps=Fraction(25), num_frames=132, has_audio=True)


def frame(index: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Four upright stripes of colour that move along."""
    columns = (np.arange(width) * 4 // width + index) % 4
    return np.broadcast_to(PATCHES[columns], (height, width, 3)).copy()


def write(path: Path, num_frames: int, fps: float | Fraction = 25, **size: int) -> None:
    with VideoWriter(path, fps, crf=10) as video:
        for index in range(num_frames):
            video.write(frame(index, **size))


def audio_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """The times and contents of the audio packets."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.size]
        return [(p.pts * Fraction(p.time_base), bytes(p)) for p in packets if p.pts is not None]


def samples_of(path: Path) -> np.ndarray:
    """The sound that a player plays, as float32 (channels, samples)."""
    with av.open(str(path)) as container:
        frames = [f for f in container.decode(audio=0) if f.pts is not None and f.pts >= 0]
        return np.concatenate([f.to_ndarray() for f in frames], axis=1)


def with_sound(path: Path, codec: str, begin_s: int = 0) -> None:
    """A video of a second with a rising tone in stereo; its clock shows `begin_s` at first."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 32
        audio = container.add_stream(codec, rate=48000)
        audio.metadata["language"] = "fre"
        for index in range(25):
            picture = av.VideoFrame.from_ndarray(frame(index, 32, 32))
            picture.pts, picture.time_base = begin_s * 25 + index, Fraction(1, 25)
            container.mux(video.encode(picture))
        for at in range(0, 48000, 960):
            t = np.arange(at, at + 960) / 48000
            wave = (8000 * np.sin(2000 * t * (1 + t))).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave.repeat(2)[None], "s16", "stereo")
            sound.sample_rate, sound.pts = 48000, begin_s * 48000 + at
            container.mux(audio.encode(sound))
        container.mux([*video.encode(None), *audio.encode(None)])


def test_the_index_comes_first_so_that_browsers_start_at_once(tmp_path: Path):
    write(tmp_path / "video.mp4", 3)
    data = (tmp_path / "video.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


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


def test_a_file_in_the_way_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"video\.mp4: cannot write: Not a directory"):
        write(tmp_path / "file" / "video.mp4", 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_frames_keep_the_times_they_are_given(tmp_path: Path, suffix: str):
    path = tmp_path / f"video{suffix}"
    ticks = [0, 3, 4, 11, 12, 13, 40, 41]
    start = Fraction(7, 2)
    with VideoWriter(path, 10, time_base=Fraction(1, 600), start=start) as video:
        for index, tick in enumerate(ticks):
            video.write(frame(index), start + Fraction(tick, 30))
    frames = list(VideoSource(path).frames())
    rounding = Fraction(1, 2000) if suffix == ".mkv" else 0  # Matroska counts milliseconds
    assert len(frames) == len(ticks)
    assert all(
        abs(f.time - Fraction(t, 30)) <= rounding for f, t in zip(frames, ticks, strict=True)
    )
    assert probe(path).is_variable


def test_times_that_do_not_grow_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"want times that grow, got 1/25 s as frame 2"):
        with VideoWriter(tmp_path / "video.mp4", 25) as video:
            for index in (0, 1, 1):
                video.write(frame(0), Fraction(index, 25))
    assert os.listdir(tmp_path) == []


def test_a_frame_left_out_of_even_steps_leaves_a_gap(tmp_path: Path):
    path = tmp_path / "video.mp4"
    with VideoWriter(path, Fraction(30000, 1001)) as video:
        for index in (0, 1, 4, 5):
            # A time that the source's container has rounded to milliseconds.
            video.write(frame(index), Fraction(round(index * 1001 / 30), 1000))
    times = [f.time for f in VideoSource(path).frames()]
    assert times == [index * Fraction(1001, 30000) for index in (0, 1, 4, 5)]


def test_a_full_range_source_gives_a_full_range_video_of_the_same_colours(tmp_path: Path):
    source, path = tmp_path / "source.avi", tmp_path / "video.mp4"
    picture = frame(0)
    picture[:32], picture[32:48] = 255, 0
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qscale": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    info = probe(source)
    (read,) = read_video(source)
    assert info.full_range
    with open_sink(path, info=info, crf=1) as video:
        video.write(read)
    (written,) = read_video(path)
    assert probe(path).full_range
    inner = np.s_[8::16, 8::16]  # away from the stripes' edges, where 4:2:0 blends
    np.testing.assert_allclose(written[inner].astype(int), read[inner], atol=3)
    np.testing.assert_allclose(written[inner].astype(int), picture[inner], atol=6)
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0))
        assert shown.color_range == ColorRange.JPEG and shown.colorspace == 1
        luma = shown.to_ndarray()[:96]
    assert luma.max() >= 253 and luma.min() <= 2


def test_levels_are_limited_by_default(tmp_path: Path):
    with VideoWriter(tmp_path / "video.mp4", 25, crf=1) as video:
        video.write(np.full((32, 32, 3), 255, np.uint8))
    with av.open(str(tmp_path / "video.mp4")) as container:
        shown = next(container.decode(video=0))
    assert shown.color_range == ColorRange.MPEG
    assert abs(int(shown.to_ndarray()[:32].max()) - 235) <= 1


def test_pixels_that_are_not_square_stay_so(tmp_path: Path):
    with VideoWriter(tmp_path / "video.mp4", 25, pixel_aspect=Fraction(128, 117)) as video:
        video.write(frame(0))
    assert probe(tmp_path / "video.mp4").pixel_aspect == Fraction(128, 117)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_audio_is_copied_packet_by_packet(tmp_path: Path, test_data: Path, suffix: str):
    source, path = test_data / "videos" / "bigbuckbunny.mp4", tmp_path / f"video{suffix}"
    with open_sink(path, info=SMALL, audio_from=source) as video:
        for index in range(132):
            video.write(frame(index, 32, 32), Fraction(index, 25))
    want, got = audio_of(source), audio_of(path)
    assert [data for _, data in got] == [data for _, data in want]
    rounding = Fraction(1, 1000) if suffix == ".mkv" else 0
    assert all(abs(a - b) <= rounding for (a, _), (b, _) in zip(got, want, strict=True))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        # A player that reads along finds both within reach of each other.
        video_time, apart = 0.0, 0.0
        for packet in container.demux():
            if packet.dts is not None:
                time = float(packet.dts * packet.time_base)
                if packet.stream.type == "video":
                    video_time = time
                else:
                    apart = max(apart, abs(time - video_time))
    assert apart < 1.1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_audio_of_a_stretch_is_cut_to_it(tmp_path: Path, test_data: Path, suffix: str):
    source, path = test_data / "videos" / "bigbuckbunny.mp4", tmp_path / f"video{suffix}"
    start, stop = Fraction(50, 25), Fraction(75, 25)
    with open_sink(path, info=SMALL, audio_from=source, start=start, stop=stop) as video:
        for index in range(50, 75):
            video.write(frame(index, 32, 32), Fraction(index, 25))
    assert probe(path).num_frames == 25
    whole, got = {data: time for time, data in audio_of(source)}, audio_of(path)
    assert all(data in whole for _, data in got)
    sound, heard = samples_of(source), samples_of(path)
    assert abs(heard.shape[1] / 48000 - 1) < 0.03
    # Decoded from the cut packets, the same sound at the same time.
    at = round(start * 48000)
    if suffix == ".mp4":
        np.testing.assert_allclose(heard[:, :40000], sound[:, at : at + 40000], atol=1e-4)
    else:
        # Its first packet, which starts a little earlier, is what time zero means to Matroska.
        first = round(whole[got[0][1]] * 48000)
        assert 0 <= at - first < 1024
        np.testing.assert_allclose(
            heard[:, 2048:40000], sound[:, first + 2048 : first + 40000], atol=1e-4
        )


def test_audio_starts_with_the_first_frame_whatever_the_files_clock(tmp_path: Path):
    source, path = tmp_path / "source.ts", tmp_path / "video.mp4"
    with_sound(source, "aac", begin_s=7)
    with av.open(str(source)) as container:
        assert container.start_time > 6_000_000
    with open_sink(path, info=probe(source), audio_from=source) as video:
        for f in VideoSource(source).frames():
            video.write(f.image, f.time)
    with av.open(str(path)) as container:
        assert abs(next(container.decode(audio=0)).time) < 0.05
    assert abs(samples_of(path).shape[1] / 48000 - 1) < 0.05


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_a_codec_plays_before_the_start_is_copied_too(tmp_path: Path, suffix: str):
    source, path = tmp_path / "source.mp4", tmp_path / f"video{suffix}"
    with_sound(source, "aac")
    want = audio_of(source)
    assert want[0][0] < 0
    with open_sink(path, info=probe(source), audio_from=source) as video:
        for f in VideoSource(source).frames():
            video.write(f.image, f.time)
    assert audio_of(path) == want
    np.testing.assert_array_equal(samples_of(path), samples_of(source))


def test_the_uneven_times_of_a_real_video_are_kept(tmp_path: Path, test_data: Path):
    source = VideoSource(test_data / "videos" / "tree.avi")
    with open_sink(tmp_path / "tree.mp4", info=source.info, preset="ultrafast") as video:
        for f in source.frames():
            video.write(f.image, f.time)
    copy = VideoSource(tmp_path / "tree.mp4")
    assert [f.time for f in copy.frames()] == [f.time for f in source.frames()]
    assert copy.info.is_variable


def test_the_audio_of_a_file_that_is_cut_off_goes_as_far_as_it_does(tmp_path: Path):
    whole, source, path = (tmp_path / name for name in ("whole.mp4", "cut.mp4", "video.mp4"))
    with_sound(tmp_path / "sound.mkv", "flac")
    with VideoWriter(whole, 25, audio_from=tmp_path / "sound.mkv") as video:
        for index in range(25):
            video.write(frame(index, 32, 32))
    source.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    with open_sink(path, info=SMALL, audio_from=source) as video:
        for index in range(15):
            video.write(frame(index, 32, 32))
    want, got = audio_of(whole), audio_of(path)
    assert 3 < len(got) < len(want) and got == want[: len(got)]


def test_a_video_without_audio_to_copy_is_written_all_the_same(tmp_path: Path):
    write(tmp_path / "source.mp4", 3)
    info = probe(tmp_path / "source.mp4")
    with open_sink(tmp_path / "video.mp4", info=info, audio_from=tmp_path / "source.mp4") as video:
        video.write(frame(0))
    assert not probe(tmp_path / "video.mp4").has_audio


def test_audio_that_the_container_cannot_hold_names_one_that_can(tmp_path: Path):
    source = tmp_path / "source.mkv"
    with_sound(source, "wavpack")
    match = r"out\.mp4: this container cannot hold the wavpack audio of .*; write a \.mkv file"
    with pytest.raises(UserError, match=match):
        open_sink(tmp_path / "out.mp4", info=SMALL, audio_from=source)
    with open_sink(tmp_path / "out.mkv", info=SMALL, audio_from=source) as video:
        for index in range(25):
            video.write(frame(index, 32, 32))
    np.testing.assert_array_equal(samples_of(tmp_path / "out.mkv"), samples_of(source))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.audio[0].language == "fre"


def test_a_full_disk_is_one_line_and_leaves_nothing(make_disk: Callable[[str], Path]):
    disk = make_disk("256k")
    noise = np.random.default_rng(0).integers(0, 256, (40, 256, 256, 3), np.uint8)
    with pytest.raises(
        UserError, match=r"video\.mp4: cannot write: No space left on device"
    ) as told:
        with VideoWriter(disk / "video.mp4", 25, crf=1, preset="ultrafast") as video:
            for picture in noise:
                video.write(picture)
    assert len(str(told.value).splitlines()) == 1
    assert os.listdir(disk) == []


@pytest.mark.parametrize("has_audio", [False, True])
def test_a_disk_that_is_full_at_the_very_end_is_one_line_too(
    tmp_path: Path, make_disk: Callable[[str], Path], has_audio: bool
):
    disk = make_disk("64k")
    source = None
    if has_audio:
        source = tmp_path / "source.mkv"
        with_sound(source, "flac")
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    with pytest.raises(UserError, match=r"video\.mp4: cannot write: No space left on device"):
        with VideoWriter(disk / "video.mp4", 25, crf=1, audio_from=source) as video:
            video.write(picture)  # x264 holds it back
    assert os.listdir(disk) == []


def test_an_unknown_container_or_preset_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r'no video is written as "\.avi"; use \.mp4'):
        VideoWriter(tmp_path / "video.avi", 25)
    with pytest.raises(ValueError, match='preset "swift"'):
        VideoWriter(tmp_path / "video.mp4", 25, preset="swift")
