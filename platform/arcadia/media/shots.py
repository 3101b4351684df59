"""The shots of a video, found with PySceneDetect while it is read once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from arcadia.errors import UserError
from arcadia.media.frames import Source

Detector = Literal["content", "adaptive"]

THRESHOLDS: dict[Detector, float] = {"content": 27.0, "adaptive": 3.0}
"""PySceneDetect's own: of the mean change in hue, saturation and value, 0 to 255; of that over the
mean of its neighbours."""

# PySceneDetect's own, which its thresholds are made for.
_WIDTH = 256


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a read of a video to its end found."""

    times: tuple[Fraction, ...]
    """Seconds since the video's first frame, of each frame that could be read."""
    shots: tuple[tuple[int, int], ...]
    """[start, stop) of each shot, in frames of the whole video; together they are all of them."""
    can_seek: bool
    """Whether the times are the file's own, so that a frame is found by them."""
    problem: str | None
    """What is missing or damaged, as in "clip.mp4: ends after 85 of 132 frames"; None when all is
    well."""

    def start_time(self, index: int) -> Fraction | None:
        """What `Source.frames(index, start_time=)` takes for a frame of the scan."""
        return self.times[index - self.shots[0][0]] if self.can_seek else None


def scan(
    source: Source,
    start: int = 0,
    stop: int | None = None,
    *,
    detector: Detector | None = "content",
    threshold: float | None = None,
    min_shot_frames: int = 15,
    on_frame: Callable[[int], None] | None = None,
) -> Scan:
    """Reads frames [start, stop) once, one at a time, and finds where the shots change.

    Args:
        source: where the frames come from.
        start: the first frame's index.
        stop: the index to end before; by default, and where it is higher, the end.
        detector: "content" looks for large changes, "adaptive" for changes that are large beside
            those around them, which fast camera work needs; None looks for none.
        threshold: of the detector; by default that of `THRESHOLDS`.
        min_shot_frames: cuts that follow closer than this are merged into one.
        on_frame: called after each frame with how many have been read.

    Raises:
        UserError: nothing could be read. What breaks off later is a `problem`.
    """
    if min_shot_frames < 1:
        raise ValueError(f"min_shot_frames {min_shot_frames} must be at least 1")
    find = None if detector is None else _detector(detector, threshold, min_shot_frames)
    times: list[Fraction] = []
    cuts: list[int] = []
    can_seek, problem = True, None
    now = FrameTimecode(start, 25.0)
    try:
        for frame in source.frames(start, stop):
            if find is not None:
                # Numbers are all that is asked of it; the rate is never used.
                now = FrameTimecode(frame.index, 25.0)
                cuts += [cut.frame_num for cut in find.process_frame(now, _small(frame.image))]
            times.append(frame.time)
            can_seek &= frame.is_stamped
            if on_frame is not None:
                on_frame(len(times))
    except UserError as error:
        if not times:
            raise
        problem = str(error)
    if not times:
        raise UserError(f"{source.path}: has no frame {start}; start earlier")
    if find is not None:
        cuts += [cut.frame_num for cut in find.post_process(now)]
    bounds = [start, *cuts, start + len(times)]
    return Scan(
        times=tuple(times),
        shots=tuple(itertools.pairwise(bounds)),
        can_seek=can_seek,
        problem=problem,
    )


def _detector(
    name: Detector, threshold: float | None, min_shot_frames: int
) -> ContentDetector | AdaptiveDetector:
    threshold = THRESHOLDS[name] if threshold is None else threshold
    if name == "content":
        return ContentDetector(threshold, min_shot_frames)
    return AdaptiveDetector(threshold, min_shot_frames)


def _small(image_hwc: np.ndarray) -> np.ndarray:
    """BGR, as wide as the detectors' thresholds are made for."""
    height, width, _ = image_hwc.shape
    if width > _WIDTH:
        size = _WIDTH, max(round(height * _WIDTH / width), 1)
        image_hwc = cv2.resize(image_hwc, size, interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR)
