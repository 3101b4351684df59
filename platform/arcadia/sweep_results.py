"""What came out of a sweep: its trials, the best first, those that failed, and the best one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.trials import RUN


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial of a sweep."""

    name: str
    """Of its folder in the sweep's."""
    parameters: dict[str, Any]
    """What it drew, by name, of what the sweep searches over."""
    value: float | None
    """The metric's last one; None: it came to none."""
    error: str | None
    """Why it failed, in one line; None: it did not."""


def trial_results(results: Any, metric: str, mode: str) -> list[TrialResult]:
    """The trials of Tune's results, the best first, those without a value and failed ones last."""
    found = [
        TrialResult(
            name=str(result.path).rstrip("/").rpartition("/")[2],
            parameters=_drawn(result),
            value=metric_of(result.metrics, metric),
            error=None if result.error is None else last_line(result.error),
        )
        for result in results
    ]
    sign = 1 if mode == "min" else -1
    return sorted(
        found, key=lambda t: (t.error is not None, t.value is None, sign * (t.value or 0.0))
    )


def print_trials(trials: list[TrialResult], metric: str) -> None:
    """A table of those that did not fail, and a line for each that did."""
    from rich.console import Console
    from rich.table import Table

    fine = [trial for trial in trials if trial.error is None]
    table = Table(title=f"{len(fine)} trials, {len(trials) - len(fine)} failed")
    table.add_column("parameters")
    table.add_column(metric.rpartition("/")[2], justify="right")
    for trial in fine:
        table.add_row(_shown(trial), "-" if trial.value is None else f"{trial.value:.4g}")
    console = Console()
    console.print(table)
    for trial in trials:
        if trial.error is not None:
            console.print(f"failed: {_shown(trial)}: {trial.error}", markup=False, highlight=False)


def best_checkpoint(result: Any) -> str | None:
    """Where the best trial's last checkpoint is; None: it made none.

    Of a trial that writes a run of its own it is that run, which every command takes.
    """
    if result.checkpoint is None:
        return None
    run = _run_of(result)
    return result.checkpoint.path if run is None else run.uri


def end_runs(results: Any) -> None:
    """Says in the runs of trials how they ended: a scheduler ends trials without their knowing."""
    for result in results:
        run = _run_of(result)
        if run is not None and run.status == "running":
            run.set_status("completed" if result.error is None else "failed")


def _run_of(result: Any) -> RunFolder | None:
    """The run that a trial wrote; None: it wrote none."""
    from pyarrow.fs import LocalFileSystem

    path, filesystem = f"{str(result.path).rstrip('/')}/{RUN}", result.filesystem
    is_local = filesystem is None or isinstance(filesystem, LocalFileSystem)
    place = Storage.at(path, None if is_local else filesystem)
    return RunFolder.open(place) if place.exists("run.json") else None


def metric_of(metrics: dict[str, Any] | None, name: str) -> float | None:
    """A number of a nested result; None when there is none, or no game ended that it tells of."""
    value: Any = metrics or {}
    for part in name.split("/"):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return float(value) if math.isfinite(value) else None


def last_line(error: BaseException) -> str:
    """What went wrong, of a text that holds whole tracebacks of other processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _shown(trial: TrialResult) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.parameters.items()) or "-"


def _drawn(result: Any) -> dict[str, Any]:
    """The parameters that a trial drew, as Tune names its folder by them."""
    tag = (result.metrics or {}).get("experiment_tag", "")
    pairs = (pair.partition("=") for pair in tag.partition("_")[2].split(","))
    return {name: value for name, equals, value in pairs if equals}
