"""Commands that look at any run: they load what the run's kind needs, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from arcadia.errors import UserError
from arcadia.jobs import job_of
from arcadia.options import CommonOptions, parse
from arcadia.runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CommonOptions):
    """Plays a run's policy, and a random player beside it."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder or address of the run."""
    episodes: int = 10
    """Episodes to play with each."""
    epsilon: float | None = None
    """Chance of a random action (0 to 1); by default the run's epsilon_eval."""
    num_envs: int = 8
    """Episodes played side by side, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 1:
            raise UserError(f"episodes {self.episodes}: must be at least 1")
        if self.num_envs < 1:
            raise UserError(f"num_envs {self.num_envs}: must be at least 1")
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon {self.epsilon}: must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class WatchOptions(CommonOptions):
    """Films a run's policy at play, with its values drawn beside the picture."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder or address of the run."""
    epsilon: float | None = None
    """Chance of a random action (0 to 1); by default the run's epsilon_eval."""
    max_seconds: float = 120
    """Seconds of film after which to stop in mid-episode."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_seconds <= 0:
            raise UserError(f"max_seconds {self.max_seconds}: must be above 0")
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon {self.epsilon}: must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(CommonOptions):
    """Writes a run's report: one HTML page that needs no other file."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder or address of the run."""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(CommonOptions):
    """Runs the sweep that a Python file describes: its function `sweep()` returns the search space,
    an AlgorithmConfig with Tune's distributions in it, and a TuneConfig."""

    file: Annotated[str, tyro.conf.Positional]
    """The Python file, such as tune_configs/dqn_pong.py."""
    num_samples: int | None = None
    """Trials to draw instead of the file's number."""
    max_concurrent_trials: int | None = None
    """Trials at once instead of the file's number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_samples", "max_concurrent_trials"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: must be at least 1")


def evaluate(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia evaluate RUN`."""
    options = parse(EvaluateOptions, argv, prog)
    run = _run_of(options)
    return job_of(run).evaluate(run, options)


def watch(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia watch RUN`."""
    options = parse(WatchOptions, argv, prog)
    run = _run_of(options)
    return job_of(run).watch(run, options)


def report(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia report RUN`."""
    from arcadia.report import build_report

    path = build_report(_run_of(parse(ReportOptions, argv, prog)).uri)
    print(f"Report: {path}")
    return {"report": str(path)}


def tune(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia tune FILE`."""
    from arcadia.tuning import run_sweep

    return run_sweep(parse(TuneOptions, argv, prog))


def _run_of(options: EvaluateOptions | WatchOptions | ReportOptions) -> RunFolder:
    """The run that a command looks at, and into which it writes."""
    if options.run_dir is not None:
        raise UserError(
            f"run_dir {options.run_dir}: what this makes goes into the run itself; leave it out"
        )
    return RunFolder.open(options.run)
