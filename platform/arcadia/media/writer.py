"""Video files from frames, with the audio of another file."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from arcadia.atomic import beside, explained
from arcadia.errors import UserError
from arcadia.media.reading import Reading, opened

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""What FFmpeg calls the containers that are written, by suffix."""

Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
]

# ITU-T H.273: the code for BT.709 among matrices, primaries and transfers.
_BT709 = 1
# Audio codecs build on what was decoded before, Opus on 80 ms of it. MP4 can hold such packets
# and not play them.
_RUN_IN_S = Fraction(1, 10)


class VideoWriter:
    """Writes H.264, 4:2:0, BT.709; an MP4 that every browser plays, index first.

    A context manager. The file appears at `path` when the block ends well; when it fails, what was
    there before stays. Odd sizes are padded by repeating the last row or column.

    Args:
        path: where the file goes; .mp4, .m4v, .mov or .mkv. Missing folders are made.
        fps: frames per second; a Fraction keeps 30000/1001 exact.
        crf: x264's quality, 0 (lossless) to 51; 18 can hardly be told from the original.
        preset: x264's trade of time for size.
        time_base: seconds to count frames' times in, where they are to be kept; by default frames
            follow in even steps of 1 / fps, and times only say where one is left out.
        full_range: levels of 0 to 255 instead of 16 to 235, and flagged so.
        pixel_aspect: width of a pixel over its height.
        audio_from: a video whose audio is copied packet by packet, without decoding.
        start: seconds from that video's first frame to the first one written; where the audio
            starts and what frames' times are counted from.
        stop: where the audio ends, in the same seconds; by default with its last packet.

    Raises:
        UserError: the place cannot be written, no such container, or it cannot hold the audio.
        ValueError: a frame differs from the first in shape, a time does not come after the last,
            or there was no frame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | Fraction,
        *,
        crf: int = 18,
        preset: Preset = "medium",
        time_base: Fraction | None = None,
        full_range: bool = False,
        pixel_aspect: Fraction = Fraction(1),
        audio_from: str | os.PathLike[str] | None = None,
        start: Fraction = Fraction(0),
        stop: Fraction | None = None,
    ):
        if fps <= 0 or not 0 <= crf <= 51:
            raise ValueError(f"fps {fps} must be above 0, crf {crf} from 0 to 51")
        if preset not in get_args(Preset):
            raise ValueError(f'preset "{preset}": want one of {", ".join(get_args(Preset))}')
        self._path = Path(path)
        self._format = container_format(path)
        if audio_from is not None:
            check_audio(path, audio_from)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._time_base = time_base or 1 / self._rate
        self._options = {"crf": str(crf), "preset": preset}
        self._range = ColorRange.JPEG if full_range else ColorRange.MPEG
        self._pixel_aspect = pixel_aspect
        self._audio_from = audio_from
        self._start, self._stop = start, stop
        self._shape: tuple[int, int, int] | None = None
        self._num_frames = 0
        self._last = -1
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(beside(self._path))
            options = {} if self._format == "matroska" else {"movflags": "+faststart"}
            # Absolute: what stands before a colon would be taken for a protocol.
            place = os.path.abspath(temporary)
            self._container = av.open(place, "w", format=self._format, options=options)
            # On failure the half file is closed before it is removed; `close` is safe to repeat.
            stack.callback(self._container.close)
            self._stream: VideoStream = self._container.add_stream(
                "libx264", rate=self._rate, options=self._options
            )
            self._stream.codec_context.time_base = self._time_base
            self._audio: _Audio | None = None
            if self._audio_from is not None:
                zero = _origin(self._audio_from) + self._start
                source, _ = stack.enter_context(opened(os.fspath(self._audio_from)))
                length = None if self._stop is None else self._stop - self._start
                run_in = Fraction(0) if self._format == "matroska" else _RUN_IN_S
                self._audio = _Audio(source, self._container, zero, length, run_in)
            self._exit = stack.pop_all()
        return self

    def write(self, frame_hwc: np.ndarray, time: Fraction | None = None) -> None:
        """Adds a frame.

        Args:
            frame_hwc: uint8 (H, W, 3) RGB, of the first one's size.
            time: seconds on the clock of `start`; by default 1 / fps after the last.
        """
        if self._shape is None:
            self._shape = self._set_up(frame_hwc)
        if frame_hwc.shape != self._shape or frame_hwc.dtype != np.uint8:
            raise ValueError(
                f"want uint8 {self._shape}, got {frame_hwc.dtype} {frame_hwc.shape} "
                f"as frame {self._num_frames}"
            )
        if time is None:
            stamp = 0 if self._last < 0 else self._last + round(1 / self._rate / self._time_base)
        else:
            stamp = round((time - self._start) / self._time_base)
        if stamp <= self._last:
            raise ValueError(f"want times that grow, got {time} s as frame {self._num_frames}")
        height, width, _ = self._shape
        if height % 2 or width % 2:
            frame_hwc = np.pad(frame_hwc, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_hwc), "rgb24")
        frame = rgb.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=self._range
        )
        frame.pts, frame.time_base = stamp, self._time_base
        self._last = stamp
        self._num_frames += 1
        with explained("write", self._path):
            self._container.mux(self._stream.encode(frame))
            if self._audio is not None:
                self._audio.copy(until=stamp * self._time_base)

    def _set_up(self, frame_hwc: np.ndarray) -> tuple[int, int, int]:
        if frame_hwc.ndim != 3 or frame_hwc.shape[2] != 3:
            raise ValueError(f"want frames of shape (H, W, 3), got {frame_hwc.shape}")
        height, width, channels = frame_hwc.shape
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = self._range
        codec.sample_aspect_ratio = self._pixel_aspect
        return height, width, channels

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The block's own error passes as it is; `beside` is told by another that nothing is done.
        with contextlib.suppress(_Abandoned), self._exit:
            if error is not None:
                raise _Abandoned
            if self._num_frames == 0:
                raise ValueError(f"{self._path}: no frame was written")
            with explained("write", self._path):
                self._container.mux(self._stream.encode(None))
                if self._audio is not None:
                    self._audio.copy()


class _Abandoned(Exception):
    """A video that nobody will finish."""


class _Audio:
    """Copies the audio packets of a video that sound in a stretch of it.

    Args:
        source: the open video.
        target: gets a stream for each of the source's.
        zero: seconds on the source's clock that become the target's zero.
        length: seconds from there on, or None for all there is.
        run_in: seconds before `zero` whose packets are kept too, at times below zero.
    """

    def __init__(
        self,
        source: InputContainer,
        target: OutputContainer,
        zero: Fraction,
        length: Fraction | None,
        run_in: Fraction,
    ):
        self._zero, self._length, self._run_in = zero, length, run_in
        self._target = target
        self._streams = {stream.index: _added(target, stream) for stream in source.streams.audio}
        self._packets = self._read(source)
        self._next: tuple[Fraction, Packet] | None = None

    def copy(self, until: Fraction | None = None) -> None:
        """Copies on to a time of the target, in seconds, or to the end."""
        while until is None or self._next is None or self._next[0] <= until:
            if self._next is not None:
                packet = self._next[1]
                packet.stream = self._streams[packet.stream.index]
                self._target.mux(packet)
            self._next = next(self._packets, None)
            if self._next is None:
                return

    def _read(self, container: InputContainer) -> Iterator[tuple[Fraction, Packet]]:
        """The packets to copy with their times in the target, in the order stored."""
        if not self._streams:
            return
        # A file that breaks off has said so when its frames were read.
        with contextlib.suppress(FFmpegError):
            for packet in container.demux(audio=tuple(range(len(self._streams)))):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if not packet.size or packet.is_corrupt or stamp is None:
                    continue
                base = Fraction(packet.time_base)
                at = stamp * base - self._zero
                end = at + (packet.duration or 0) * base
                if at < -self._run_in and end <= -self._run_in:
                    continue
                if self._length is not None and at >= self._length:
                    if len(self._streams) == 1:
                        return
                    continue
                shift = round(self._zero / base)
                packet.pts = stamp - shift
                packet.dts = (packet.dts if packet.dts is not None else stamp) - shift
                yield at, packet


def _origin(path: str | os.PathLike[str]) -> Fraction:
    """When a video's first frame is shown, in seconds on its own clock."""
    with opened(os.fspath(path)) as (container, stream):
        first = next(Reading(container, stream).frames(), None)
        stamp = 0 if first is None or first.pts is None else first.pts
        return stamp * Fraction(stream.time_base or 1)


def container_format(path: str | os.PathLike[str]) -> str:
    """What FFmpeg calls the container that a path's suffix names. UserError for others."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(
            f'{os.fspath(path)}: no video is written as "{suffix}"; use {", ".join(FORMATS)}'
        )
    return FORMATS[suffix]


def check_audio(path: str | os.PathLike[str], audio_from: str | os.PathLike[str]) -> None:
    """Raises UserError where a video of the path's suffix cannot hold the audio of another."""
    format = container_format(path)
    with opened(os.fspath(audio_from)) as (source, _):
        for stream in source.streams.audio:
            if not _holds(format, stream):
                others = [suffix for suffix, f in FORMATS.items() if _holds(f, stream)]
                way_out = f"write a {others[-1]} file" if others else "leave the audio out"
                codec = stream.codec_context.name
                raise UserError(
                    f"{os.fspath(path)}: this container cannot hold the {codec} audio of "
                    f"{os.fspath(audio_from)}; {way_out}"
                )


def _holds(format: str, stream: AudioStream) -> bool:
    with av.open(io.BytesIO(), "w", format=format) as container:
        try:
            _added(container, stream)
        except ValueError:
            return False
    return True


def _added(target: OutputContainer, stream: AudioStream) -> AudioStream:
    added = target.add_stream_from_template(stream)
    added.metadata.update(stream.metadata)
    added.disposition = stream.disposition
    return added
