from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import (
    PictureSource,
    PictureWriter,
    VideoInfo,
    VideoSource,
    VideoWriter,
    check_sink,
    open_sink,
    open_source,
    write_image,
)

INFO = VideoInfo(width=32, height=32, fps=Fraction(25), num_frames=2, has_audio=False)
PICTURE = np.zeros((32, 32, 3), np.uint8)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "clip.mp4", 25) as video:
        video.write(PICTURE)
    return tmp_path / "clip.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        write_image(tmp_path / "frames" / f"{index:05}.png", PICTURE)
    return tmp_path / "frames"


def test_a_path_says_what_it_is(clip: Path, folder: Path, tmp_path: Path):
    assert isinstance(open_source(clip), VideoSource)
    assert isinstance(open_source(folder), PictureSource)
    assert isinstance(open_source(folder / "%05d.png", fps=24), PictureSource)
    (tmp_path / "100%d.mp4").write_bytes(clip.read_bytes())
    assert isinstance(open_source(tmp_path / "100%d.mp4"), VideoSource)
    for name in ("out.mp4", "out.MOV", "out.mkv"):
        assert isinstance(open_sink(tmp_path / name, info=INFO), VideoWriter)
    for name in ("out", "frames", "out/%05d.png"):
        assert isinstance(open_sink(tmp_path / name, info=INFO), PictureWriter)


def test_a_source_copied_to_a_sink_is_the_same_video(folder: Path, tmp_path: Path):
    source = open_source(folder, fps=Fraction(24000, 1001))
    with open_sink(tmp_path / "out.mp4", info=source.info) as sink:
        for frame in source.frames():
            sink.write(frame.image, frame.time)
    copy = open_source(tmp_path / "out.mp4")
    assert copy.info.fps == Fraction(24000, 1001) and copy.info.num_frames == 3
    with open_sink(tmp_path / "again", info=copy.info, start=Fraction(0), first=5) as sink:
        for frame in copy.frames():
            sink.write(frame.image, frame.time)
    assert sorted(os.listdir(tmp_path / "again"))[0] == "00000005.png"


@pytest.mark.parametrize("link", [os.link, os.symlink, None])
def test_the_input_is_never_written_over(clip: Path, link, tmp_path: Path):
    out = clip
    if link is not None:
        out = tmp_path / "other" / "out.mp4"
        out.parent.mkdir()
        link(clip, out)
    for overwrite in (False, True):
        with pytest.raises(UserError, match=rf"{out.name}: would write over the input .*clip"):
            check_sink(out, inputs=[tmp_path / "style.png", clip], overwrite=overwrite)


def test_the_pictures_of_the_input_are_never_written_over(folder: Path, tmp_path: Path):
    pattern = folder / "%05d.png"
    (tmp_path / "linked").symlink_to(folder)
    (tmp_path / "copies").mkdir()
    os.link(folder / "00001.png", tmp_path / "copies" / "00001.png")
    for out, source in (
        (folder, folder),
        (tmp_path / "linked", folder),
        (pattern, pattern),
        (pattern, folder),
        (folder / "styled_%05d.png", folder),
        (tmp_path / "copies" / "%05d.png", pattern),
    ):
        with pytest.raises(UserError, match=r"would write (over|into) the input"):
            check_sink(out, inputs=[source], overwrite=True)
    check_sink(folder / "styled_%05d.png", inputs=[pattern])
    check_sink(tmp_path / "styled", inputs=[folder, pattern])


def test_what_is_there_is_replaced_only_on_request(clip: Path, folder: Path, tmp_path: Path):
    for out in (clip, folder / "%05d.png"):
        with pytest.raises(UserError, match="exists; give another name, or --overwrite"):
            check_sink(out)
        check_sink(out, overwrite=True)
    (tmp_path / "empty").mkdir()
    check_sink(tmp_path / "empty")
    check_sink(tmp_path / "new" / "deeper" / "out.mp4")


def test_a_place_that_cannot_be_written_is_found_before_the_work(clip: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"out\.mp4: cannot write: Not a directory"):
        check_sink(clip / "out.mp4")
    with pytest.raises(UserError, match=r'no video is written as "\.gif"; use \.mp4, '):
        check_sink(tmp_path / "out.gif")
    with pytest.raises(UserError, match=r'no picture format is called "\.picture"'):
        check_sink(tmp_path / "%d.picture")
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4"]
