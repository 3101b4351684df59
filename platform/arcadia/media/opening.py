"""The one door to frames: what a path means, to read from and to write to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from arcadia.errors import UserError
from arcadia.media.frames import Sink, Source, VideoInfo
from arcadia.media.images import no_such_file
from arcadia.media.sequences import (
    PictureSource,
    PictureWriter,
    is_pattern,
    matching,
    picture_pattern,
)
from arcadia.media.video import VideoSource
from arcadia.media.writer import Preset, VideoWriter, check_audio, container_format


def open_source(path: str | os.PathLike[str], *, fps: float | Fraction = 25) -> Source:
    """Frames of a video file, of a folder of pictures, or of a pattern such as frames/%05d.png.

    Args:
        path: one of these.
        fps: of pictures; a video says its own.

    Raises:
        UserError: there is nothing of the name.
    """
    path = Path(path)
    if path.is_dir() or (is_pattern(path) and not path.exists()):
        return PictureSource(path, fps)
    if not path.exists():
        raise no_such_file(path)
    return VideoSource(path)


def open_sink(
    path: str | os.PathLike[str],
    *,
    info: VideoInfo,
    audio_from: str | os.PathLike[str] | None = None,
    start: Fraction = Fraction(0),
    stop: Fraction | None = None,
    crf: int = 18,
    preset: Preset = "medium",
    first: int = 0,
) -> Sink:
    """A place for frames with the rate, colour range and pixels' aspect of their source.

    Args:
        path: a video (.mp4, .m4v, .mov or .mkv), or pictures: a pattern such as out/%05d.png, or a
            folder, which is what a path without a suffix names.
        info: the source's.
        audio_from: a video whose audio is copied; pictures have none.
        start: time in the source of the first frame to be written; the audio starts there.
        stop: time in the source at which the audio ends; by default with its last packet.
        crf: of a video, x264's quality, 0 (lossless) to 51.
        preset: of a video, x264's trade of time for size.
        first: number of the first picture.

    Raises:
        UserError: the suffix is unknown, or the container cannot hold the audio.
    """
    if is_pictures(path):
        return PictureWriter(path, first=first)
    return VideoWriter(
        path,
        info.fps,
        crf=crf,
        preset=preset,
        time_base=info.time_base if info.is_variable else None,
        full_range=info.full_range,
        pixel_aspect=info.pixel_aspect,
        audio_from=audio_from,
        start=start,
        stop=stop,
    )


def check_sink(
    path: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    audio_from: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Finds before the work what would make `open_sink` fail after it.

    Args:
        path: as for `open_sink`.
        inputs: what must not be written over, such as the source and the style.
        audio_from: as for `open_sink`.
        overwrite: whether what is there may be replaced.

    Raises:
        UserError: over an input, also through links; it exists and may not be replaced; the suffix
            is unknown; the container cannot hold the audio; the folder cannot be written.
    """
    path = Path(path)
    targets = [path]
    if is_pictures(path):
        pattern = picture_pattern(path)
        targets = list(matching(pattern).values())
        folder = pattern.parent
    else:
        container_format(path)
        folder = path.parent
    for name in inputs:
        _check_input(path, targets, folder, Path(name))
    if not overwrite and any(target.exists() for target in targets):
        raise UserError(f"{path}: exists; give another name, or --overwrite to replace it")
    if audio_from is not None and not is_pictures(path):
        check_audio(path, audio_from)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        reason = "Permission denied" if there.is_dir() else "Not a directory"
        raise UserError(f"{path}: cannot write: {reason}; choose another place")


def is_pictures(path: str | os.PathLike[str]) -> bool:
    """Whether frames written to a path become pictures: a pattern, a folder, or no suffix."""
    path = Path(path)
    return path.is_dir() or is_pattern(path) or not path.suffix


def _check_input(path: Path, targets: list[Path], folder: Path, source: Path) -> None:
    """Refuses to write to `targets`, and to add pictures to a folder that is an input."""
    if is_pattern(source) and not source.exists():
        files = list(matching(source).values())
    elif source.is_dir():
        files = []
        if folder.is_dir() and folder.samefile(source):
            raise UserError(f"{path}: would write into the input {source}; choose another folder")
    else:
        files = [source] if source.exists() else []
    there = [target for target in targets if target.exists()]
    same = {(s.st_dev, s.st_ino) for s in map(os.stat, files)}
    if any((s.st_dev, s.st_ino) in same for s in map(os.stat, there)):
        raise UserError(f"{path}: would write over the input {source}; give another name")
