"""Workers of a job, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcadia.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How many, and what each has."""

    number: int
    num_cpus: int
    """Of each; also its threads where it has no GPU."""
    num_gpus: float
    """Of each, whole or a fraction."""
    num_neighbours: int
    """How many may share the memory of one GPU, or without GPUs of one machine."""


def workers_for(
    resources: Mapping[str, float],
    num_parts: int,
    *,
    number: int | None = None,
    num_cpus: int | None = None,
    num_gpus: float | None = None,
    largest_node_cpus: int | None = None,
) -> Workers:
    """The workers for a number of parts.

    Args:
        resources: the cluster's, as Ray names them.
        num_parts: more workers would have nothing to do.
        number: as asked for; None: one a GPU, or without GPUs one a CPU.
        num_cpus: of each; None: 1 beside a GPU, else shared out evenly.
        num_gpus: of each; None: 1 where there are any.
        largest_node_cpus: of the machine that has most; None: all are on one.

    Raises:
        UserError: the cluster has not as much.
    """
    gpus, cpus = int(resources.get("GPU", 0.0)), max(int(resources.get("CPU", 1)), 1)
    at_once = max(min(largest_node_cpus or cpus, cpus), 1)
    of_each = (1.0 if gpus else 0.0) if num_gpus is None else num_gpus
    if of_each > 1 and of_each != int(of_each):
        raise UserError(f"num_gpus_per_worker {of_each:g}: above 1 it must be a whole number")
    if of_each > gpus:
        raise UserError(
            f"num_gpus_per_worker {of_each:g}: the cluster has {gpus} GPUs; give at most that"
        )
    if (num_cpus or 1) > at_once:
        raise UserError(
            f"num_cpus_per_worker {num_cpus}: no machine has more than {at_once} CPUs; give fewer"
        )
    share = max(int(1 / of_each), 1) if of_each else 1  # workers on one GPU
    if of_each:
        most = share * gpus if of_each <= 1 else int(gpus / of_each)
    else:
        most = cpus // (num_cpus or 1)
    chosen = min(number or max(most, 1), num_parts)
    own = num_cpus or (1 if of_each else max(min(cpus // chosen, at_once), 1))
    if own * chosen > cpus or (of_each and chosen > most):
        with_gpus = f", num_gpus_per_worker {of_each:g}" if of_each else ""
        raise UserError(
            f"num_workers {chosen}, num_cpus_per_worker {own}{with_gpus}: the cluster has {cpus} "
            f"CPUs and {gpus} GPUs; give fewer"
        )
    return Workers(
        number=chosen,
        num_cpus=own,
        num_gpus=of_each,
        num_neighbours=share if of_each else min(chosen, max(at_once // own, 1)),
    )


def device_of(num_gpus: float) -> torch.device:
    """Where a worker with so many GPUs computes: Ray shows GPUs also to those that have none."""
    import torch

    return torch.device("cuda" if num_gpus and torch.cuda.is_available() else "cpu")


def own_device() -> torch.device:
    """Where this process computes: one of Ray's on the GPU that it was given, if it was, any other
    on one that torch sees."""
    import ray

    if not ray.is_initialized():
        return device_of(1)
    return device_of(len(ray.get_runtime_context().get_accelerator_ids().get("GPU", [])))
