"""What a job's parts cost on the machines that will paint them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayTaskError

from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.workers import Workers
from pipelines.stylization.estimate import Cost, measure_cost

_PATIENCE_S = 30.0
_PERIOD_S = 1.0


def measure_costs(
    options: Mapping[str, Any],
    sizes: Collection[tuple[int, int]],
    style_hwc: np.ndarray,
    workers: Workers,
    heed: Callable[[], None],
) -> dict[tuple[int, int], Cost]:
    """Costs of gradients by the size of frames, each measured where a worker would be.

    Args:
        options: `StyleOptions` as plain values.
        sizes: heights and widths.
        style_hwc: the style's picture, uint8 (H, W, 3).
        workers: what each has.
        heed: called every second; what it raises ends the wait.
    """
    # One call a process: its memory on a GPU is free again before painters come.
    task: Any = ray.remote(max_calls=1)(measure_cost)
    task = task.options(num_cpus=workers.num_cpus, num_gpus=workers.num_gpus)
    costs = {}
    for size in sorted(sizes):
        answer = task.remote(
            options, size, style_hwc, workers.num_cpus, workers.num_gpus, workers.num_neighbours
        )
        costs[size] = _waited(answer, heed)
    return costs


def check_room(run: RunFolder, needed_bytes: float) -> None:
    """Refuses a run's folder whose disk has too little room, where that can be known.

    Raises:
        UserError: it has less than needed.
    """
    if not run.storage.is_local:
        return
    place = next(p for p in (run.path, *run.path.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise UserError(
            f"{run.path}: has {free / 1e9:.2g} GB free, and about {needed_bytes / 1e9:.2g} GB are "
            "needed; free some space there or choose another --run-dir"
        )


def _waited(answer: Any, heed: Callable[[], None]) -> Any:
    """What a task answers; says so where the cluster has no room for it for long."""
    waited_s = 0.0
    while not ray.wait([answer], timeout=_PERIOD_S)[0]:
        heed()
        waited_s += _PERIOD_S
        if waited_s == _PATIENCE_S:
            print("Waiting for the cluster: its CPUs or GPUs may be taken", flush=True)
    try:
        return ray.get(answer)
    except RayTaskError as error:  # whose text is a traceback
        raise error.cause from None
