"""The trials of a sweep, as Tune leaves them in files.

A trial's folder has `params.json` and `result.json`, one line a result, or only `error.txt`. Tune's
own record of all trials, `experiment_state-*.json`, says what was drawn for each and its status.
Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np

from arcadia.comparison import FIGURE
from arcadia.headline import Headline
from arcadia.report import Report, flat
from arcadia.report_index import FOOT, Entry, add_kind, statuses
from arcadia.run_report import PAGE, add_origin
from arcadia.storage import Storage

SWEEP = "tune"
"""Kind of the run that `arcadia tune` makes of a sweep."""
KIND = "trial"
_STATUSES = {
    "TERMINATED": "completed",
    "ERROR": "failed",
    **dict.fromkeys(("RUNNING", "PENDING", "PAUSED"), "running"),
}
_OF_TUNE = (
    *("timestamp", "training_iteration", "time_this_iter_s", "time_total_s", "pid"),
    *("time_since_restore", "iterations_since_restore", "step"),
)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep and how its trials did."""

    name: str
    record: Mapping[str, Any]
    """What `arcadia tune` noted, of run.json and config.json; empty where something else made the
    sweep."""
    trials: Sequence[Entry]
    """The best first, where it is known what that is."""
    parameters: Sequence[str] | None
    """Names of what was drawn for each; None: Tune's record does not say."""

    @property
    def metric(self) -> str | None:
        return self.record.get("metric")

    @property
    def started(self) -> datetime | None:
        """When its first trial was."""
        return min((e.started for e in self.trials if e.started is not None), default=None)

    @property
    def best(self) -> float | None:
        """Its metric, of the best trial."""
        return next(iter(self.trials[0].headline.figures.values()), None) if self.trials else None


def is_sweep(storage: Storage) -> bool:
    """Whether Tune keeps a sweep there, or `arcadia tune` has begun one."""
    return storage.exists("tuner.pkl") or _json(storage, "run.json").get("kind") == SWEEP


def read_sweep(storage: Storage, runs: Sequence[str] = ()) -> Sweep:
    """Reads what Tune wrote into a sweep's folder.

    Args:
        storage: the folder.
        runs: names of runs below it, whose pages the trials lead to.
    """
    files = storage.list()
    info = _json(storage, "run.json")
    record = info | _json(storage, "config.json") if info.get("kind") == SWEEP else {}
    metric, time = record.get("metric"), record.get("time", "training_iteration")
    states = _states(storage, files)
    folders = sorted(
        {
            folder
            for folder, _, name in (file.partition("/") for file in files)
            if name in ("params.json", "result.json", "error.txt")
        }
    )
    pages = {run.partition("/")[0]: f"./{quote(run)}/{PAGE}" for run in runs}
    trials = [
        _trial(storage, folder, states.get(folder, {}), metric, time, pages.get(folder, ""))
        for folder in folders
    ]
    sign = -1 if record.get("mode") == "max" else 1
    if metric is not None:
        trials.sort(key=lambda e: _rank(e, sign))
    drawn = dict.fromkeys(name for s in states.values() for name, _ in flat(_drawn(s) or {}))
    drawn.pop("seed", None)  # that has a column
    return Sweep(name=_last(storage), record=record, trials=trials, parameters=list(drawn) or None)


def sweep_page(sweep: Sweep, storage: Storage) -> Report:
    """The page of a sweep: its trials to be sorted, their curves, and what it was asked for."""
    trials = sweep.trials
    metric = sweep.metric or ""
    report = Report(
        sweep.name,
        subtitle=f"{len(trials):,} trials" + (f", compared by {metric}" if metric else ""),
        foot=FOOT,
    )
    counts: dict[str, Any] = {**statuses("trials", trials)}
    if metric and sweep.best is not None:
        counts[f"best {metric.rpartition('/')[2]}"] = sweep.best
    report.stats(counts)
    if storage.exists(FIGURE):
        report.image("Means over seeds", storage.read_bytes(FIGURE))
    words = ("trial", "iterations")
    add_kind(report, "Trials", trials, is_only=True, words=words, options=sweep.parameters)
    if sweep.record:
        add_origin(report, sweep.record, storage.shown())
    return report


def _trial(
    storage: Storage,
    folder: str,
    state: Mapping[str, Any],
    metric: str | None,
    time: str,
    href: str,
) -> Entry:
    results = _results(storage, f"{folder}/result.json")
    given = _json(storage, f"{folder}/params.json")
    drawn = _drawn(state)
    last = results[-1] if results else {}
    # Without a record of Tune's: a trial that failed and came back has the file, too.
    has_failed = storage.exists(f"{folder}/error.txt")
    over = "failed" if has_failed else "completed" if last.get("done") else "running"
    status = _STATUSES.get(state.get("status", ""), over)
    began = last.get("timestamp", 0) - last.get("time_total_s", 0)
    points = [(_value(r, time) or r.get("training_iteration"), _value(r, metric)) for r in results]
    told = [(at, value) for at, value in points if at is not None and value is not None]
    names = [metric] if metric else [n for n in last if n not in _OF_TUNE]
    figures = {n: v for n in names if (v := _value(last, n)) is not None}
    return Entry(
        name=last.get("trial_id") or folder,
        kind=KIND,
        status=status,
        href=href,
        started=datetime.fromtimestamp(began, UTC) if began > 0 else None,
        seconds=last.get("time_total_s"),
        seed=given.get("seed"),
        options=dict(flat(given if drawn is None else drawn)),
        headline=Headline(
            title=metric.rpartition("/")[2] if metric else "",
            figures={name.rpartition("/")[2]: value for name, value in figures.items()},
            steps=last.get("training_iteration"),
            curve=tuple(np.array(told, np.float64).T) if told else None,  # type: ignore[arg-type]
            axes=(time, metric.rpartition("/")[2] if metric else ""),
        ),
    )


def _states(storage: Storage, files: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By the folder of a trial, what Tune's latest record says of it."""
    records = [f for f in files if f.startswith("experiment_state-") and f.endswith(".json")]
    found: dict[str, dict[str, Any]] = {}
    if records:
        # Of another version of Ray, or damaged.
        with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
            for trial, _ in json.loads(storage.read_bytes(records[-1]))["trial_data"]:
                state = json.loads(trial)
                found[state["relative_logdir"]] = state
    return found


def _drawn(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters that Tune drew for a trial, if its record says so."""
    drawn = state.get("evaluated_params")
    return drawn if isinstance(drawn, dict) else None


def _results(storage: Storage, name: str) -> list[dict[str, Any]]:
    """The results of a trial; a line that a killed writer left half way is left out."""
    found = []
    for line in storage.read_bytes(name).splitlines() if storage.exists(name) else ():
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [result for result in found if isinstance(result, dict)]


def _json(storage: Storage, name: str) -> dict[str, Any]:
    if not storage.exists(name):
        return {}
    try:
        value = json.loads(storage.read_bytes(name))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(result: Mapping[str, Any], name: str | None) -> float | None:
    """A finite number of a result, whose parts a slash separates."""
    value: Any = result
    for part in (name or "").split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _rank(e: Entry, sign: int) -> tuple[bool, float]:
    value = next(iter(e.headline.figures.values()), None)
    return value is None, sign * (value or 0.0)


def _last(storage: Storage) -> str:
    return PurePosixPath(storage.shown()).name
