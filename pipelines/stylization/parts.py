"""What can be painted side by side: shots, or parts of long ones."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames that one worker paints in their order. Frames are numbered over the whole video."""

    video: str
    """Name of the video within the run."""
    number: int
    """Of the part within the video."""
    shot: int
    """Of the shot that it belongs to."""
    first: int
    """Where painting begins: before `start` by the run-in of a part of a shot."""
    start: int
    """The first frame that is kept."""
    stop: int
    """The one after the last."""
    shot_start: int
    """Of the whole shot."""
    shot_stop: int

    @property
    def num_frames(self) -> int:
        """Frames to paint, run-in among them."""
        return self.stop - self.first

    @property
    def begins_with_seam(self) -> bool:
        """Whether it continues a shot without knowing what the part before came to."""
        return self.start > self.shot_start

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `Part(**values)` takes them."""
        return dataclasses.asdict(self)


def parts_of(
    video: str,
    shots: Iterable[tuple[int, int]],
    *,
    segment_frames: int | None = None,
    run_in: int = 0,
) -> list[Part]:
    """The parts of a video in their order.

    Args:
        video: its name within the run.
        shots: first frame and the one after the last.
        segment_frames: shots that are longer are cut into equal parts of about this length.
        run_in: frames before such a part that are painted along with it.
    """
    parts: list[Part] = []
    for shot, (start, stop) in enumerate(shots):
        length = stop - start
        count = 1 if segment_frames is None else max(round(length / segment_frames), 1)
        edges = [start + length * i // count for i in range(count)] + [stop]
        for begin, end in itertools.pairwise(edges):
            parts.append(
                Part(
                    video=video,
                    number=len(parts),
                    shot=shot,
                    first=max(begin - run_in, start),
                    start=begin,
                    stop=end,
                    shot_start=start,
                    shot_stop=stop,
                )
            )
    return parts


def longest_first(parts: Iterable[Part]) -> list[Part]:
    """The order in which parts are handed out, so that no long one is left for the end."""
    return sorted(parts, key=lambda part: (-part.num_frames, part.video, part.number))


def makespan(costs: Sequence[float], num_workers: int) -> float:
    """How long workers take for parts that are handed out in this order.

    Args:
        costs: of each part, in seconds.
        num_workers: at least 1.

    Returns:
        Seconds until the last is done.
    """
    free_at = [0.0] * num_workers
    for cost in costs:
        heapq.heapreplace(free_at, free_at[0] + cost)
    return max(free_at)
