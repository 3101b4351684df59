"""Options of commands that train on Ray Train, and what may change when a run goes on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arcadia.errors import UserError
from arcadia.options import CommonOptions
from arcadia.runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(CommonOptions):
    """How a training is carried out; nothing here changes what comes of it."""

    resume: str | None = None
    """Run to go on with; its options stay, other ones are refused."""
    minutes: float | None = None
    """Stop after so many minutes of this call, whatever steps says."""
    num_workers: int | None = None
    """Processes that train together, each on its share of a batch; by default one for each GPU of
    the cluster, without GPUs one."""
    num_gpus_per_worker: int | None = None
    """1, or 0 to train on CPUs; by default 1 where there are any."""
    num_cpus_per_worker: int | None = None
    """CPUs of each, which are its threads without a GPU; by default they are shared out evenly."""
    max_failures: int = 3
    """How often workers that died come back from the last checkpoint."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("minutes", 1e-3, math.inf),
            ("num_workers", 1, 1e5),
            ("num_gpus_per_worker", 0, 1),
            ("num_cpus_per_worker", 1, 1e4),
            ("max_failures", 0, 1e6),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise UserError(f"{name} {value}: must be {bounds}")


def refuse_changes(was: Any, now: Any, run: RunFolder, *, may_change: Sequence[str]) -> None:
    """Refuses options that a run was not made with.

    Args:
        was: the run's options, a dataclass that may hold others.
        now: those of the command that goes on with it.
        run: it.
        may_change: names of those that decide how long it goes on, or what is looked at on the way.

    Raises:
        UserError: for the first that differs.
    """
    _refuse(dataclasses.asdict(was), dataclasses.asdict(now), run, may_change)


def refuse_move(run: RunFolder, default: CommonOptions, command: CommonOptions) -> None:
    """Refuses another folder or seed than a run's own.

    Raises:
        UserError: it has another.
    """
    is_same_seed = command.seed in (default.seed, run.seed)
    for name, is_same in (
        ("run_dir", command.run_dir == default.run_dir),
        ("seed", is_same_seed),
    ):
        if not is_same:
            raise made_with_another(name, getattr(command, name), run)


def made_with_another(name: str, value: Any, run: RunFolder) -> UserError:
    """What to say of an option whose value is not the run's."""
    return UserError(
        f"{name} {value}: the run {run.storage.shown()} was made with another; leave it out "
        "with --resume, or start a new run"
    )


def _refuse(
    was: Mapping[str, Any], now: Mapping[str, Any], run: RunFolder, may_change: Sequence[str]
) -> None:
    for name, value in now.items():
        if isinstance(value, Mapping):
            _refuse(was[name], value, run, may_change)
        elif value != was[name] and name not in may_change:
            raise UserError(
                f"{name} {value!r}: the run {run.storage.shown()} was made with {was[name]!r}; "
                "leave the option out, or start a new run"
            )
