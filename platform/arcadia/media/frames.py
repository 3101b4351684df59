"""What every source of frames and every place for them share, be it a video or pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

import numpy as np


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file or a sequence of pictures holds."""

    width: int
    """Pixels, as seen: a camera's rotation is applied."""
    height: int
    """Pixels, as seen."""
    fps: Fraction
    """Frames per second, on average: a video may hold some for longer than others."""
    num_frames: int
    """How many frames are there to be decoded."""
    has_audio: bool
    """Whether there is at least one audio stream."""
    full_range: bool = False
    """Whether its levels run over all of 0 to 255 in the file, instead of 16 to 235."""
    rotation: int = 0
    """Degrees counterclockwise by which the stored pixels are turned to be seen: 0 to 270."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height, as seen."""
    is_variable: bool = False
    """Whether the frames' own times count: they are not even steps of 1 / fps."""
    time_base: Fraction = Fraction(1, 90_000)
    """Seconds that the file counts times in."""
    claimed_frames: int | None = None
    """How many the container says it holds: more than `num_frames` where it was cut off. None
    where it says nothing."""

    @property
    def duration_s(self) -> float:
        """Seconds that the frames last."""
        return float(self.num_frames / self.fps)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a source."""

    index: int
    """From 0 in the order shown, over the whole source."""
    time: Fraction
    """Seconds since the first frame is shown; grows from frame to frame."""
    image: np.ndarray
    """uint8 (H, W, 3) RGB, in memory of its own."""
    is_stamped: bool = True
    """Whether the time is the file's own. One that is missing or goes back is made up, and
    nothing can be found by it."""


class Source(Protocol):
    """Frames that can be read in order as often as one likes; cheap to make from its path."""

    path: str

    @property
    def info(self) -> VideoInfo:
        """Size, rate and length, without decoding more than a frame.

        Raises:
            UserError: cannot be read, or holds no frame.
        """
        ...

    def frames(
        self, start: int = 0, stop: int | None = None, *, start_time: Fraction | None = None
    ) -> Iterator[Frame]:
        """Frames [start, stop), one at a time.

        Args:
            start: the first one's index.
            stop: the index to end before; by default, and where it is higher, the end.
            start_time: `time` of frame `start`, as an earlier read gave it with `is_stamped`: what
                comes before is then skipped instead of decoded, and the same frames come.

        Raises:
            UserError: cannot be read; after the frames that could be. At the end it says what was
                missing or damaged on the way.
        """
        ...


class Sink(Protocol):
    """A place for frames: a context manager, whose result appears when its block ends well."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def write(self, frame_hwc: np.ndarray, time: Fraction | None = None) -> None:
        """Adds a frame: uint8 (H, W, 3) RGB of the first one's size, and its time in the source."""
        ...
