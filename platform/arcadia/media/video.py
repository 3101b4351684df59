"""Video files as streams of uint8 RGB frames of shape (H, W, 3)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from arcadia.atomic import beside, explained
from arcadia.errors import UserError

# ITU-T H.273: the code for BT.709 among matrices, primaries and transfers, and for "not said".
_BT709 = 1
_UNSPECIFIED = 2


class VideoWriter:
    """Writes an MP4 that every browser plays: H.264, 4:2:0, BT.709, index first.

    A context manager. The file appears at `path` when the block ends well; when it fails, what was
    there before stays. Odd sizes are padded by repeating the last row or column.

    Args:
        path: where the file goes; missing folders are made.
        fps: frames per second; a Fraction keeps 30000/1001 exact.
        crf: x264's quality, 0 (lossless) to 51; 18 can hardly be told from the original.
        preset: x264's trade of time for size, "ultrafast" to "veryslow".

    Raises:
        UserError: the place cannot be written.
        ValueError: a frame differs from the first in shape, or there was none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | Fraction,
        *,
        crf: int = 18,
        preset: str = "medium",
    ):
        if fps <= 0 or not 0 <= crf <= 51:
            raise ValueError(f"fps {fps} must be above 0, crf {crf} from 0 to 51")
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": preset}
        self._shape: tuple[int, int, int] | None = None
        self._num_frames = 0
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(beside(self._path))
            self._container = av.open(
                str(temporary), "w", format="mp4", options={"movflags": "+faststart"}
            )
            # On failure the half file is closed before it is removed; `close` is safe to repeat.
            stack.callback(self._container.close)
            self._stream: VideoStream = self._container.add_stream(
                "libx264", rate=self._rate, options=self._options
            )
            self._exit = stack.pop_all()
        return self

    def write(self, frame_hwc: np.ndarray) -> None:
        """Adds a frame: uint8 (H, W, 3) RGB, of the first one's size."""
        if self._shape is None:
            self._shape = self._set_up(frame_hwc)
        if frame_hwc.shape != self._shape or frame_hwc.dtype != np.uint8:
            raise ValueError(
                f"want uint8 {self._shape}, got {frame_hwc.dtype} {frame_hwc.shape} "
                f"as frame {self._num_frames}"
            )
        height, width, _ = self._shape
        if height % 2 or width % 2:
            frame_hwc = np.pad(frame_hwc, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_hwc), "rgb24")
        frame = rgb.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts = self._num_frames
        self._num_frames += 1
        with explained("write", self._path):
            self._container.mux(self._stream.encode(frame))

    def _set_up(self, frame_hwc: np.ndarray) -> tuple[int, int, int]:
        if frame_hwc.ndim != 3 or frame_hwc.shape[2] != 3:
            raise ValueError(f"want frames of shape (H, W, 3), got {frame_hwc.shape}")
        height, width, channels = frame_hwc.shape
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT709
        codec.color_range = ColorRange.MPEG
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
            self._container.mux(self._stream.encode(None))


class _Abandoned(Exception):
    """A video that nobody will finish."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file holds."""

    width: int
    """Pixels, as seen: a camera's rotation is applied."""
    height: int
    """Pixels, as seen."""
    fps: Fraction
    """Frames per second, on average: a video may hold some for longer than others."""
    num_frames: int
    """How many `read_video` yields."""
    has_audio: bool
    """Whether there is at least one audio stream."""

    @property
    def duration_s(self) -> float:
        """Seconds that the frames last."""
        return float(self.num_frames / self.fps)


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Size, rate and length of a video. UserError when it cannot be read as one."""
    with _opened(path) as (container, stream):
        # Counted, not decoded: containers name no number, or that of the slots (AVI).
        num_frames = sum(packet.size > 0 for packet in container.demux(stream))
        container.seek(0)
        first = next(container.decode(stream), None)
        fps = stream.average_rate or stream.guessed_rate
        if fps and stream.frames > num_frames:
            fps *= Fraction(num_frames, stream.frames)
        if first is None or not fps:
            raise UserError(f"{os.fspath(path)}: holds no video frame; give another file")
        height, width, _ = rgb_frame(first).shape
        return VideoInfo(
            width=width,
            height=height,
            fps=Fraction(fps),
            num_frames=num_frames,
            has_audio=bool(container.streams.audio),
        )


def read_video(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """The frames of a video in the order shown: uint8 (H, W, 3) RGB, in new memory each.

    Raises:
        UserError: no such file, or it cannot be read as video; after the frames that could be.
    """
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield rgb_frame(frame)


def rgb_frame(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as it is meant to be seen: uint8 (H, W, 3) RGB.

    Colours follow the file's own mark; without one, players take 720 lines and more for BT.709,
    less for BT.601. A camera's rotation is applied.
    """
    unmarked_hd = frame.colorspace == _UNSPECIFIED and frame.height >= 720
    matrix = Colorspace.ITU709 if unmarked_hd else None
    rgb = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    if frame.rotation % 90 == 0 and frame.rotation % 360:
        rgb = np.ascontiguousarray(np.rot90(rgb, frame.rotation // 90))
    return rgb.astype(np.uint8, copy=False)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    name = os.fspath(path)
    try:
        with av.open(name) as container:
            if not container.streams.video:
                raise UserError(f"{name}: holds no video stream; give another file")
            yield container, container.streams.video[0]
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except FFmpegError as error:
        raise UserError(f"{name}: cannot be read as video: {error.strerror}") from error
