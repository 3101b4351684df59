"""Video files as streams of uint8 RGB frames of shape (H, W, 3)."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from arcadia.errors import UserError
from arcadia.media.frames import Frame, VideoInfo
from arcadia.media.reading import Reading, opened

SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
"""Of the files in a folder that are taken for videos."""

# ITU-T H.273: the code for "not said".
_UNSPECIFIED = 2
# Frames of H.264 and HEVC may be stored this far from where they are shown.
_REORDERED = 16


class VideoSource:
    """A video file; see `Source`. Every read opens the file anew, so that reads may overlap."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)

    @property
    def info(self) -> VideoInfo:
        """What the file holds: its packets are counted, one frame is decoded."""
        return self._info

    @functools.cached_property
    def _info(self) -> VideoInfo:
        with opened(self.path) as (container, stream):
            first = next(Reading(container, stream).frames(), None)
            if first is None:
                raise UserError(f"{self.path}: holds no video frame; give another file")
            aspect = stream.sample_aspect_ratio or Fraction(1)
            height, width, _ = _Picture(self.path)(first).shape
        with opened(self.path) as (container, stream):
            # Counted, not decoded: containers name no number, or that of the slots (AVI).
            reading = Reading(container, stream)
            stamps = [
                packet.pts if packet.pts is not None else packet.dts
                for packet in reading.packets()
                if not packet.is_discard
            ]
            is_whole = reading.problem(len(stamps)) is None
            fps, is_variable = _rate(stream, stamps, is_whole)
            return VideoInfo(
                width=width,
                height=height,
                fps=fps,
                num_frames=len(stamps),
                has_audio=bool(container.streams.audio),
                full_range=first.color_range == ColorRange.JPEG or "yuvj" in first.format.name,
                rotation=first.rotation % 360 if first.rotation % 90 == 0 else 0,
                pixel_aspect=1 / aspect if first.rotation % 180 == 90 else aspect,
                is_variable=is_variable,
                time_base=Fraction(stream.time_base or 1),
                claimed_frames=reading.claimed_frames(len(stamps), fps),
            )

    def frames(
        self, start: int = 0, stop: int | None = None, *, start_time: Fraction | None = None
    ) -> Iterator[Frame]:
        """Frames [start, stop) in the order shown; see `Source.frames`."""
        if stop is not None and stop <= start:
            return
        if start_time is not None and start > 0:
            yield from self._frames_from(start, stop, start_time)
            return
        with opened(self.path) as (container, stream):
            reading, clock = Reading(container, stream), _Clock(stream)
            picture = _Picture(self.path)
            index = -1
            for index, frame in enumerate(reading.frames()):
                time, is_stamped = clock.time(frame)
                if index >= start:
                    yield Frame(index, time, picture(frame), is_stamped)
                if index + 1 == stop:
                    return
            if problem := reading.problem(index + 1):
                raise UserError(f"{self.path}: {problem}")
        if index < 0:
            raise UserError(f"{self.path}: holds no video frame; give another file")

    def _frames_from(self, start: int, stop: int | None, start_time: Fraction) -> Iterator[Frame]:
        """Frames from one whose time is known, decoded from the key frame before it."""
        index = start
        with opened(self.path) as (container, stream):
            reading, clock = Reading(container, stream), _Clock(stream)
            picture = _Picture(self.path)
            stamp = clock.stamp(next(reading.frames(), None), start_time)
            packet = None if stamp is None else _seek(container, stream, stamp)
            if packet is not None:
                reading = Reading(container, stream, packet)
                for frame in reading.frames():
                    time, is_stamped = clock.time(frame)
                    if time < start_time:
                        continue
                    if index == start and time != start_time:
                        break  # nothing can be found by this file's times
                    yield Frame(index, time, picture(frame), is_stamped)
                    index += 1
                    if index == stop:
                        return
            if index > start and (problem := reading.problem(index, stop)):
                raise UserError(f"{self.path}: {problem}")
        if index == start:
            yield from self.frames(start, stop)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Size, rate and length of a video. UserError when it cannot be read as one."""
    return VideoSource(path).info


def read_video(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """The frames of a video in the order shown: uint8 (H, W, 3) RGB, in new memory each.

    Raises:
        UserError: no such file, or it cannot be read as video; after the frames that could be.
    """
    return (frame.image for frame in VideoSource(path).frames())


class _Picture:
    """Turns decoded frames into what is meant to be seen: uint8 (H, W, 3) RGB.

    Colours follow the file's own mark; without one, players take 720 lines and more for BT.709,
    less for BT.601. A camera's rotation and mirroring, which the first frame tells, are applied.

    Args:
        path: named where a frame has another size than the first: UserError.
    """

    def __init__(self, path: str):
        self._path = path
        self._turn: tuple[bool, int, int] | None = None
        self._size = 0, 0

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        unmarked_hd = frame.colorspace == _UNSPECIFIED and frame.height >= 720
        matrix = Colorspace.ITU709 if unmarked_hd else None
        rgb = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
        # Once: PyAV ties a frame whose side data were looked at into a circle, and 250 such frames
        # stay in memory before Python looks for circles.
        if self._turn is None:
            self._turn, self._size = _turn(frame), (frame.width, frame.height)
        elif self._size != (frame.width, frame.height):
            raise UserError(
                f"{self._path}: goes on as {frame.width}x{frame.height} after "
                f"{self._size[0]}x{self._size[1]}; cut it where its size changes"
            )
        is_on_its_side, down, right = self._turn
        rgb = (rgb.swapaxes(0, 1) if is_on_its_side else rgb)[::down, ::right]
        return np.ascontiguousarray(rgb).astype(np.uint8, copy=False)


def _turn(frame: av.VideoFrame) -> tuple[bool, int, int]:
    """How the display matrix shows the pixels: whether rows become columns, and after that the
    steps, 1 or -1, along the rows and along the columns."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, 1, 1
    # Where a step to the right and one down, as stored, lead on the screen: (x, y) each.
    (right_x, right_y), (down_x, down_y) = np.frombuffer(data, np.int32).reshape(3, 3)[:2, :2]
    is_on_its_side = bool(right_y and down_x and not (right_x or down_y))
    if is_on_its_side:
        right_x, down_y = down_x, right_y
    elif right_y or down_x:
        return False, 1, 1  # no quarter turn: shown as stored
    return is_on_its_side, -1 if down_y < 0 else 1, -1 if right_x < 0 else 1


class _Clock:
    """Turns time stamps into seconds since the first frame."""

    def __init__(self, stream: VideoStream):
        self._base = Fraction(stream.time_base or 1)
        self._step = 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)
        self._origin: int | None = None
        self._last: Fraction | None = None

    def time(self, frame: av.VideoFrame) -> tuple[Fraction, bool]:
        """When the next frame is shown, later than the last one, and whether the file says so."""
        if self._last is None and self._origin is None:
            self._origin = frame.pts
        time = None
        if frame.pts is not None and self._origin is not None:
            time = (frame.pts - self._origin) * self._base
        is_stamped = time is not None and (self._last is None or time > self._last)
        if time is None or not is_stamped:
            time = Fraction(0) if self._last is None else self._last + self._step
        self._last = time
        return time, is_stamped

    def stamp(self, first: av.VideoFrame | None, time: Fraction) -> int | None:
        """The stamp of a time, for a clock that starts at the first frame, if that has one."""
        if first is None or first.pts is None:
            return None
        self._origin = first.pts
        return first.pts + round(time / self._base)


def _seek(container: InputContainer, stream: VideoStream, stamp: int) -> Packet | None:
    """The last key frame found at or before a stamp; the container goes on after it."""
    second = int(1 / Fraction(stream.time_base or 1)) or 1
    for back in (0, 1, 2, 4, 8, 16):
        try:
            container.seek(stamp - back * second, stream=stream)
            for packet in container.demux(stream):
                at = packet.pts if packet.pts is not None else packet.dts
                if at is None or at > stamp:
                    break
                if packet.is_keyframe:
                    return packet
        except FFmpegError:
            return None
    return None


def _rate(stream: VideoStream, stamps: list[int | None], is_whole: bool) -> tuple[Fraction, bool]:
    """Frames per second, and whether the stamps are not just its even steps.

    Containers count in ticks that are too coarse for many rates, and round: a tick is allowed.
    """
    named = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    rates = [rate for r in named if r and (rate := Fraction(r).limit_denominator(1001))]
    ticks = np.sort(np.array([stamp for stamp in stamps if stamp is not None], np.int64))
    if len(ticks) < max(len(stamps), 2) or ticks[0] == ticks[-1]:
        return (rates or [Fraction(25)])[0], False
    ticks -= ticks[0]
    base = Fraction(stream.time_base or 1)
    # Where a file breaks off, the last frames that came are not the last that were shown.
    num_sure = len(ticks) - (0 if is_whole else _REORDERED)
    for rate in rates:
        step = float(1 / (rate * base))
        steps = np.rint(ticks / step)
        is_even = np.abs(ticks - steps * step).max() <= min(1, step / 4)
        if is_even and (steps == np.arange(len(ticks)))[: max(num_sure, 1)].all():
            return rate, False
    # The last frame stays as long as the file says, or as others do.
    end = int(ticks[-1])
    if is_whole and stream.duration and stream.duration > end:
        end = stream.duration
    else:
        end += end // (len(ticks) - 1)
    return len(ticks) / (end * base), True
