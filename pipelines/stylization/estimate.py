"""What a job will take, before it starts: time, memory, disk."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arcadia.workers import device_of
from pipelines.stylization.config import StyleOptions, options_from
from pipelines.stylization.parts import Part, longest_first, makespan
from pipelines.stylization.plan import VideoPlan
from pipelines.stylization.stylizer import Stylizer

# Gradients that are timed: at least, at most, and the seconds after which it is enough.
_LEAST, _MOST, _ENOUGH_S = 3, 20, 2.0
_PNG_SHARE = 0.75  # of a painted frame's bytes: brush strokes hardly pack
_FLOW_BYTES = 8  # a pixel of a pair of frames: two flows in float16
_SHARE = 0.8  # of what is free, for the network and the optimiser
_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_WORKER_BYTES = 700e6  # torch, Ray, OpenCV and the network in a process


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one gradient on one worker."""

    seconds: float
    """The least of a few: what the machine does besides, Ray's start above all, only adds."""
    bytes: float
    """Of memory: measured on a GPU, reckoned on a CPU; the optimiser's included."""
    device: str
    """Its name."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of a whole job."""

    seconds: float
    """If every frame takes all its iterations; frames that settle take fewer. Of the searches
    alone, from a few gradients."""
    seconds_per_frame: float
    memory_bytes: float
    """Of each worker."""
    disk_bytes: float
    """That is still to be taken in the run's folder, until the videos are written."""


def measure_cost(
    options: Mapping[str, Any],
    size: tuple[int, int],
    style_hwc: np.ndarray,
    num_threads: int,
    num_gpus: float,
    num_neighbours: int,
) -> Cost:
    """Times a few gradients on the device of this process, as a worker would compute them."""
    chosen = options_from(options)
    device = device_of(num_gpus)
    if device.type == "cpu":
        torch.set_num_threads(num_threads)
    else:
        torch.cuda.reset_peak_memory_stats()
    stylizer = Stylizer(chosen, style_hwc, device=device)
    fit(stylizer, size, num_neighbours)
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    marks: list[float] = []

    def check(iteration: int) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()
        marks.append(time.perf_counter())
        # The first one is no measure: memory is taken, kernels are chosen.
        if iteration > _LEAST and marks[-1] - marks[1] > _ENOUGH_S:
            raise _Enough

    with contextlib.suppress(_Enough):
        stylizer.paint(0, frame, start=None, iterations=_MOST + 2, check=check)
    seconds = min(b - a for a, b in itertools.pairwise(marks[1:]))
    if device.type == "cuda":
        used = float(torch.cuda.max_memory_allocated())
        return Cost(
            seconds=seconds,
            bytes=used + history_bytes(chosen, size),
            device=torch.cuda.get_device_name(),
        )
    used = _WORKER_BYTES + stylizer.needed_bytes(size) + history_bytes(chosen, size)
    return Cost(seconds=seconds, bytes=used, device=f"CPU, {_count(num_threads, 'thread')}")


class _Enough(Exception):
    """Raised when enough gradients are timed."""


def fit(stylizer: Stylizer, size: tuple[int, int], num_neighbours: int = 1) -> None:
    """Lets a stylizer cut frames of a size into parts where memory is short.

    Args:
        stylizer: On the device whose memory counts.
        size: Height and width.
        num_neighbours: Processes that share the memory, itself among them.

    Raises:
        UserError: It does not fit anyhow.
    """
    free = _SHARE * free_bytes(stylizer.device) / num_neighbours
    stylizer.fit(size, free - history_bytes(stylizer.options, size))


def history_bytes(options: StyleOptions, size: tuple[int, int]) -> float:
    """What the optimiser keeps of a frame of a size, in float32."""
    vectors = 2 * options.history + 6 if options.optimiser == "lbfgs" else 4
    return 4.0 * vectors * 3 * size[0] * size[1]


def free_bytes(device: torch.device) -> float:
    """Memory that is free on a device; of a CPU, what this machine or its container has left."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    if not _MEMINFO.exists():  # another system than Linux: what is there at all
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
    free = 1024.0 * int(lines["MemAvailable"].split()[0])
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a bound
        most, used = (int(Path(_CGROUP, f"memory.{n}").read_text()) for n in ("max", "current"))
        # Files that were read count as used, and are given up when memory is asked for.
        stat = dict(line.split() for line in Path(_CGROUP, "memory.stat").read_text().splitlines())
        free = min(free, float(most - used + int(stat["inactive_file"])))
    return free


def estimate(
    plans: Sequence[VideoPlan],
    parts: Sequence[Part],
    options: StyleOptions,
    costs: Mapping[tuple[int, int], Cost],
    num_workers: int,
    done: Mapping[tuple[str, int], int] | None = None,
) -> Estimate:
    """Puts the costs of gradients together.

    Args:
        plans: of the videos.
        parts: all of them.
        options: how they are painted.
        costs: by the size of frames.
        num_workers: that paint side by side.
        done: frames (times passes) that are finished, by video and number of the part.
    """
    sizes = {plan.name: plan.size for plan in plans}
    seconds, frames, all_frames = [], 0, 0
    for part in longest_first(parts):
        finished = (done or {}).get((part.video, part.number), 0)
        iterations = iterations_of(part, options)
        all_frames += len(iterations)
        iterations = iterations[finished:]
        seconds.append(sum(iterations) * costs[sizes[part.video]].seconds)
        frames += len(iterations)
    pixels = sum(plan.num_frames * plan.size[0] * plan.size[1] for plan in plans)
    spans = 1 if options.is_multipass else len({1, *options.spans})
    kept = 3 * _PNG_SHARE * (2 if options.is_multipass else 1)
    return Estimate(
        seconds=makespan(seconds, num_workers) if seconds else 0.0,
        seconds_per_frame=sum(seconds) / frames * options.passes if frames else 0.0,
        memory_bytes=max(cost.bytes for cost in costs.values()),
        disk_bytes=pixels * (kept + _FLOW_BYTES * spans) * frames / max(all_frames, 1),
    )


def iterations_of(part: Part, options: StyleOptions) -> list[int]:
    """Iterations of each frame of a part, in the order of its records, at most."""
    if options.is_multipass:
        return [options.pass_iterations] * (part.num_frames * options.passes)
    return [options.iterations_first] + [options.iterations] * (part.num_frames - 1)


def in_words(
    found: Estimate,
    plans: Sequence[VideoPlan],
    costs: Mapping[tuple[int, int], Cost],
    num_workers: int,
) -> str:
    """Two lines for a person."""
    frames, shots = sum(p.num_frames for p in plans), sum(len(p.shots) for p in plans)
    shown = ", ".join(f"{width} x {height}" for height, width in sorted(costs))
    device = next(iter(costs.values())).device
    return (
        f"{_count(len(plans), 'video')}, {_count(frames, 'frame')} in {_count(shots, 'shot')}, "
        f"painted at {shown} by {_count(num_workers, 'worker')} ({device})\n"
        f"About {_duration(found.seconds)} ({found.seconds_per_frame:.3g} s a frame; frames that "
        f"settle sooner take less), {_size(found.memory_bytes)} of memory a worker, "
        f"{_size(found.disk_bytes)} in the run's folder"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"


def _size(number_bytes: float) -> str:
    if number_bytes < 0.95e9:
        return f"{max(number_bytes / 1e6, 1):.0f} MB"
    return f"{number_bytes / 1e9:.1f} GB"
