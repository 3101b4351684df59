"""Painting the frames of a part in their order: a single pass, or the paper's several passes."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from arcadia.storage import Storage
from pipelines.flow import Motion, Motions, warping_error_lai, warping_error_ruder
from pipelines.stylization.parts import Part
from pipelines.stylization.results import FrameFiles, Manifest
from pipelines.stylization.stylizer import Neighbour, Painted, Stylizer


class Frames(Protocol):
    """Source frames by number, uint8 (H, W, 3), at the size at which they are painted."""

    def __getitem__(self, number: int) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """All that painting one part takes."""

    part: Part
    storage: Storage
    """The run's folder."""
    stylizer: Stylizer
    frames: Frames
    motions: Motions
    manifest: Manifest
    check: Callable[[int], None] = lambda iteration: None
    """Called before each iteration; what it raises ends the work, and nothing finished is lost."""


def paint(work: Work) -> Iterator[Mapping[str, Any]]:
    """Paints what is not done yet of a part; yields the record of each frame as it is finished.

    A record holds `frame`, `pass`, `seconds`, `iterations`, `losses`, `diverged` where the search
    was broken off, and, where the frame has a neighbour that was painted before it, `neighbour`,
    `covered` (share of the frame that this one holds for), `warping_error_lai` and
    `warping_error_ruder` (by the flow that the search used itself).
    """
    if work.manifest.is_complete:
        return
    options = work.stylizer.options
    if not options.is_multipass:
        yield from _single_pass(work)
        return
    for number in range(len(work.manifest.passes) + 1, options.passes + 1):
        yield from _pass(work, number)


def units_of(part: Part, passes: int) -> int:
    """How many records a part comes to."""
    return part.num_frames * passes


def _single_pass(work: Work) -> Iterator[Mapping[str, Any]]:
    part, options = work.part, work.stylizer.options
    results = _Results(work.storage, part)
    for number in range(part.first + len(work.manifest.frames), part.stop):
        spans = [span for span in options.spans if number - span >= part.first]
        is_first = number == part.first
        # Asked for now, so that they are computed while this frame is painted.
        _ask(work.motions, number + 1, part, options.spans)
        past = [
            Neighbour(results.read(number - s), work.motions.get(number - s, number)) for s in spans
        ]
        before = None
        if not is_first:
            motion = work.motions.get(number - 1, number)
            before = Neighbour(results.read(number - 1), motion)
        painted = work.stylizer.paint(
            number,
            work.frames[number],
            past,
            start=_start(work, number, before),
            iterations=options.iterations_first if is_first else options.iterations,
            check=work.check,
        )
        results.write(number, painted.image)
        record = _record(number, 1, painted, before, number - 1)
        work.manifest.add(record)
        yield record
    work.manifest.end_pass(_summary(1, work.manifest.frames), is_last=True)


def _ask(motions: Motions, number: int, part: Part, spans: tuple[int, ...]) -> None:
    if number >= part.stop:
        return
    for span in dict.fromkeys((1, *spans)):
        if number - span >= part.first:
            motions.prefetch(number - span, number)


def _start(work: Work, number: int, before: Neighbour | None) -> np.ndarray | None:
    options = work.stylizer.options
    how = options.start_first if before is None else options.start
    if how == "content":
        return work.frames[number]
    if how == "random" or before is None:
        return None
    return before.result if how == "previous" else work.stylizer.warped(before)


def _pass(work: Work, number: int) -> Iterator[Mapping[str, Any]]:
    """One of several passes, forward or backward (the paper, section 4.3 and algorithm 1)."""
    part, options = work.part, work.stylizer.options
    folder = f"videos/{part.video}/passes/{part.number:04d}"
    is_last, is_forward = number == options.passes, number % 2 == 1
    results = (
        FrameFiles(work.storage, f"videos/{part.video}/frames")
        if is_last
        else FrameFiles(work.storage, f"{folder}/{number:03d}")
    )
    earlier = FrameFiles(work.storage, f"{folder}/{number - 1:03d}")
    order = list(range(part.first, part.stop))
    step = 1 if is_forward else -1
    for at, frame in list(enumerate(order[::step]))[len(work.manifest.frames) :]:
        neighbour = None
        if number > 1 and at > 0:
            motion = work.motions.get(frame - step, frame)
            neighbour = Neighbour(results.read(frame - step), motion)
            if at + 1 < len(order):
                work.motions.prefetch(frame, frame + step)
        start = None
        if number > 1:
            start = earlier.read(frame).astype(np.float32)
            if neighbour is not None:
                start = blended(
                    start, work.stylizer.warped(neighbour), neighbour.motion, options.blend
                )
        has_past = neighbour is not None and number >= options.first_temporal_pass
        painted = work.stylizer.paint(
            frame,
            work.frames[frame],
            [neighbour] if has_past and neighbour is not None else (),
            start=start,
            iterations=options.pass_iterations,
            check=work.check,
        )
        results.write(frame, painted.image)
        record = _record(frame, number, painted, neighbour, frame - step)
        work.manifest.add(record)
        yield record
    work.manifest.end_pass(_summary(number, work.manifest.frames), is_last=is_last)
    for old in (number - 1, *((number,) if is_last else ())):
        work.storage.delete_tree(f"{folder}/{old:03d}")


def blended(own: np.ndarray, warped: np.ndarray, motion: Motion, blend: float) -> np.ndarray:
    """What a frame begins a pass with.

    Args:
        own: its result of the pass before, float32 (H, W, 3).
        warped: its neighbour's of this pass on its grid, float32 (H, W, 3).
        motion: from that neighbour; its mask says where the neighbour's is taken.
        blend: how much of it, 0 to 1: the paper's delta.

    Returns:
        float32 (H, W, 3): delta c warped + ((1 - delta) + delta (1 - c)) own, the paper's rule.
    """
    share = (blend * motion.mask)[:, :, None]
    return share * warped + (1 - share) * own


class _Results:
    """Frames of a part: those of its run-in lie apart."""

    def __init__(self, storage: Storage, part: Part):
        self._start = part.start
        self._kept = FrameFiles(storage, f"videos/{part.video}/frames")
        self._run_in = FrameFiles(storage, f"videos/{part.video}/run_in/{part.number:04d}")

    def read(self, number: int) -> np.ndarray:
        return self._of(number).read(number)

    def write(self, number: int, frame_hwc: np.ndarray) -> None:
        self._of(number).write(number, frame_hwc)

    def _of(self, number: int) -> FrameFiles:
        return self._kept if number >= self._start else self._run_in


def _record(
    frame: int, number: int, painted: Painted, before: Neighbour | None, before_number: int
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "frame": frame,
        "pass": number,
        "seconds": round(painted.seconds, 4),
        "iterations": painted.iterations,
        "losses": {name: round(loss, 6) for name, loss in painted.losses.items()},
    }
    if painted.diverged:
        record["diverged"] = True
    if before is not None and before.motion.mask.any():
        arguments = (painted.image, before.result, before.motion)
        record |= {
            "neighbour": before_number,
            "covered": round(float(before.motion.mask.mean()), 5),
            "warping_error_lai": warping_error_lai(*arguments, max_value=255),
            "warping_error_ruder": warping_error_ruder(*arguments, max_value=255),
        }
    return record


def _summary(number: int, records: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pass": number,
        "seconds": round(sum(r["seconds"] for r in records), 3),
        "iterations": sum(r["iterations"] for r in records),
        "loss_mean": statistics.fmean(r["losses"]["total"] for r in records) if records else None,
    }
