"""What the event files of a run say of its attempts: where each began, and what it counted.

An attempt is one event file: of the command that was begun again, or of workers that came back.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from arcadia.runs import RunFolder


class Point(NamedTuple):
    """Of a curve."""

    step: int
    value: float


class Kept(NamedTuple):
    """What was on disk when something was killed."""

    at: float
    """Seconds since the epoch."""
    step: int
    """Of the last checkpoint."""


@dataclass(kw_only=True)
class Attempt:
    """One event file."""

    began: float = math.inf
    """Seconds since the epoch."""
    start: int | None = None
    """The first step that it is to write, as it says itself; None: it says nothing."""
    points: dict[str, list[Point]] = field(default_factory=dict)
    """By tag, in the order in which they were written."""

    @property
    def last(self) -> int | None:
        """The last step that it has written."""
        steps = [points[-1].step for points in self.points.values()]
        return max(steps, default=None)


class Rewind(NamedTuple):
    """Steps that were made again."""

    reached: int
    """The last step that was noted before; what was not written down yet is not known."""
    start: int
    """The first that was made again."""

    @property
    def steps(self) -> int:
        return max(0, self.reached - self.start + 1)


def read_attempts(run: RunFolder) -> list[Attempt]:
    """A run's attempts in their order, without those that were killed before they said anything."""
    paths = run.fetch("tensorboard").glob("events.out.tfevents.*")
    found = [_read(path) for path in paths]
    said = [attempt for attempt in found if attempt.points or attempt.start is not None]
    return sorted(said, key=lambda attempt: attempt.began)


def rewinds(attempts: Sequence[Attempt]) -> list[Rewind]:
    """Between each attempt and the one before, those that made steps again."""
    found = []
    reached = -1
    for attempt in attempts:
        if attempt.start is not None and attempt.start <= reached:
            found.append(Rewind(reached, attempt.start))
            reached = attempt.start - 1
        reached = max(reached, -1 if attempt.last is None else attempt.last)
    return found


def beyond_checkpoints(attempts: Sequence[Attempt], kept: Sequence[Kept]) -> list[str]:
    """Attempts that went on from before the checkpoint that was on disk when something was killed.

    Args:
        attempts: in their order.
        kept: what was there at each kill.

    Returns:
        A line for each.
    """
    found = []
    for attempt in attempts:
        before = [one for one in kept if one.at <= attempt.began]
        if not before:
            continue
        step = max(before, key=lambda one: one.at).step
        start = 0 if attempt.start is None else attempt.start
        if start - 1 < step:
            found.append(
                f"an attempt went on from step {max(start - 1, 0):,}, and there was a checkpoint "
                f"at {step:,}"
            )
    return found


def falling(attempts: Sequence[Attempt], prefix: str) -> list[str]:
    """Counters that fall within an attempt, and steps that do not rise; a line for each tag.

    Args:
        attempts: of a run.
        prefix: that the counters' tags begin with; of all other tags only the steps are looked at.
    """
    found: dict[str, str] = {}
    for attempt in attempts:
        for tag, points in attempt.points.items():
            for one, other in itertools.pairwise(points):
                if other.step < one.step:
                    found.setdefault(tag, f"{tag}: step {other.step:,} comes after {one.step:,}")
                elif tag.startswith(prefix) and other.value < one.value:
                    found.setdefault(
                        tag, f"{tag}: {other.value:g} at step {other.step:,} follows {one.value:g}"
                    )
    return list(found.values())


def falls_in(history: Mapping[str, tuple[Any, Any]], tags: Sequence[str]) -> list[str]:
    """Counters that fall in a run's one history over all attempts; a line for each.

    Args:
        history: see `arcadia.telemetry.read_scalars`.
        tags: of the counters.
    """
    found = []
    for tag in tags:
        values = history[tag][1].tolist() if tag in history else []
        if not values:
            found.append(f"{tag}: was never written")
        elif any(other < one for one, other in itertools.pairwise(values)):
            found.append(f"{tag}: falls")
    return found


def gaps(steps: Sequence[int], until: int, largest: int) -> list[str]:
    """Stretches of a history in which nothing was noted, and a history that ends too soon.

    Args:
        steps: at which there are points, ascending.
        until: the last step there should be a point at, or beyond.
        largest: the longest stretch that is none.
    """
    if not len(steps):
        return ["nothing was noted"]
    found = [
        f"nothing was noted between steps {one:,} and {other:,}"
        for one, other in itertools.pairwise([0, *steps])
        if other - one > largest
    ]
    if steps[-1] < until:
        found.append(f"the last step that was noted is {steps[-1]:,}, not {until:,}")
    return found


def _read(path: Path) -> Attempt:
    attempt = Attempt()
    for event in _events(path):
        attempt.began = min(attempt.began, event.wall_time)
        # SessionLog.START
        if event.HasField("session_log") and event.session_log.status == 1:
            attempt.start = event.step
        for value in event.summary.value:
            if value.HasField("simple_value"):
                point = Point(event.step, value.simple_value)
                attempt.points.setdefault(value.tag, []).append(point)
    return attempt


def _events(path: Path) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    # It ends without an error at a record that a killed writer left half way.
    return iter(LegacyEventFileLoader(str(path)).Load())
