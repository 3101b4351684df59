"""Numbered pictures and folders of them as frames."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from arcadia.atomic import explained, flush, temporary_name
from arcadia.errors import UserError
from arcadia.media.frames import Frame, VideoInfo
from arcadia.media.images import (
    image_size,
    no_such_file,
    picture_format,
    read_image,
    save_image,
)

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Of the files in a folder that are taken for frames."""

_NUMBER = re.compile(r"%(?:0(\d+))?d")


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path's name has a place for a number, such as `%05d`."""
    return _NUMBER.search(Path(path).name) is not None


class PictureSource:
    """Pictures as frames; see `Source`.

    Args:
        path: a folder, whose pictures are taken in their names' natural order (2 before 10), or a
            pattern such as `frames/%05d.png`, whose numbers may start anywhere.
        fps: frames per second that they stand for.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float | Fraction = 25):
        if fps <= 0:
            raise ValueError(f"fps {fps} must be above 0")
        self.path = os.fspath(path)
        self.fps = Fraction(fps).limit_denominator(1001)

    @functools.cached_property
    def files(self) -> list[Path]:
        """The pictures in order. UserError when there are none or a number is missing."""
        return _numbered(Path(self.path)) if is_pattern(self.path) else _listed(Path(self.path))

    @property
    def info(self) -> VideoInfo:
        """Size and number, from the files' headers. UserError names a picture of another size."""
        return self._info

    @functools.cached_property
    def _info(self) -> VideoInfo:
        height, width = image_size(self.files[0])
        for file in self.files:
            self._check(file, image_size(file), (height, width))
        return VideoInfo(
            width=width,
            height=height,
            fps=self.fps,
            num_frames=len(self.files),
            has_audio=False,
            claimed_frames=len(self.files),
        )

    def frames(
        self, start: int = 0, stop: int | None = None, *, start_time: Fraction | None = None
    ) -> Iterator[Frame]:
        """Frames [start, stop); see `Source.frames`. `start_time` tells nothing new here."""
        size = self.info.height, self.info.width
        for index, file in list(enumerate(self.files))[start:stop]:
            image = read_image(file)
            self._check(file, image.shape[:2], size)
            yield Frame(index, index / self.fps, image)

    def _check(self, file: Path, size: tuple[int, ...], want: tuple[int, int]) -> None:
        if size != want:
            raise UserError(
                f"{file}: is {size[1]}x{size[0]}, but {self.files[0].name} is {want[1]}x{want[0]}; "
                "give pictures of one size"
            )


class PictureWriter:
    """Writes frames as numbered pictures.

    A context manager. The pictures are written beside and appear when its block ends well; when it
    fails, what was there before stays. Pictures there of the same pattern are replaced, all of
    them.

    Args:
        path: a folder, in which they are called 00000000.png and so on, or a pattern such as
            `frames/%05d.png`. Missing folders are made.
        first: the first one's number.

    Raises:
        UserError: the suffix names no format, or the place cannot be written.
        ValueError: a frame differs from the first in shape, or there was none.
    """

    def __init__(self, path: str | os.PathLike[str], *, first: int = 0):
        self._path = picture_pattern(path)
        self._folder, self._name = self._path.parent, self._path.name
        self._first = first
        self._num_frames = 0
        self._shape: tuple[int, ...] | None = None

    def __enter__(self) -> Self:
        # On the file system where they will stay: below the folder, should it be there.
        where = self._folder / "pictures" if self._folder.is_dir() else self._folder
        self._temporary = temporary_name(where)
        with explained("write", self._folder):
            self._temporary.mkdir(parents=True)
        return self

    def write(self, frame_hwc: np.ndarray, time: Fraction | None = None) -> None:
        """Adds a frame, uint8 (H, W, 3) RGB of the first one's size; pictures have no time."""
        self._shape = self._shape or frame_hwc.shape
        if frame_hwc.shape != self._shape:
            raise ValueError(
                f"want {self._shape}, got {frame_hwc.shape} as frame {self._num_frames}"
            )
        name = self._name_of(self._first + self._num_frames)
        with explained("write", self._folder / name):
            save_image(self._temporary / name, frame_hwc, self._path.suffix)
            flush(self._temporary / name)
        self._num_frames += 1

    def _name_of(self, number: int) -> str:
        return _NUMBER.sub(lambda found: str(number).zfill(int(found[1] or 0)), self._name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._num_frames == 0:
                raise ValueError(f"{self._path}: no frame was written")
            if error is None:
                with explained("write", self._folder):
                    self._move()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _move(self) -> None:
        if not self._folder.is_dir():
            os.replace(self._temporary, self._folder)
            flush(self._folder.parent)
            return
        names = {self._name_of(self._first + index) for index in range(self._num_frames)}
        for name in names:
            os.replace(self._temporary / name, self._folder / name)
        for file in matching(self._path).values():
            if file.name not in names:
                file.unlink()
        flush(self._folder)


def picture_pattern(path: str | os.PathLike[str]) -> Path:
    """The pattern that pictures are written by: the path itself, or one for a folder.

    Raises:
        UserError: the suffix names no format.
    """
    pattern = Path(path) if is_pattern(path) else Path(path, "%08d.png")
    picture_format(pattern)
    return pattern


def matching(pattern: Path) -> dict[int, Path]:
    """The files of a pattern that are there, in the order of their numbers."""
    found = _NUMBER.search(pattern.name)
    if found is None or not pattern.parent.is_dir():
        return {}
    number = rf"(\d{{{found[1] or 1},}})"
    before, after = pattern.name[: found.start()], pattern.name[found.end() :]
    name = re.compile(re.escape(before) + number + re.escape(after))
    files = [(name.fullmatch(file.name), file) for file in pattern.parent.iterdir()]
    return dict(sorted((int(match[1]), file) for match, file in files if match))


def _numbered(pattern: Path) -> list[Path]:
    files = matching(pattern)
    if not files:
        raise UserError(f"{pattern}: no file has such a name; check the folder and the pattern")
    for number in range(min(files), max(files)):
        if number not in files:
            raise UserError(f"{pattern}: number {number} is missing; give the whole sequence")
    return list(files.values())


def _listed(folder: Path) -> list[Path]:
    if not folder.exists():
        raise no_such_file(folder)
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise UserError(f"{folder}: holds no picture; give a folder of PNG or JPEG files")
    return sorted(files, key=lambda file: natural_order(file.name))


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names with numbers as a person would: frame2 before frame10."""
    pieces = re.findall(r"\d+|\D+", name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces]
