"""Trials of a sweep put together by what they are compared by: a table and a figure."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from arcadia.bands import Curve, groups_figure
from arcadia.jsonable import jsonable_or_text
from arcadia.storage import Storage

FIGURE = "comparison.png"
"""File of a sweep's folder with the curves of its groups."""


def compare(
    results: Any, compared_by: Sequence[str], metric: str, mode: str, time: str, folder: str
) -> list[dict[str, Any]]:
    """Prints a table of groups, the best first, and writes their curves.

    Args:
        results: Tune's; trials that failed are left out.
        compared_by: names of parameters; trials alike in them are a group.
        metric: whose last values are put together.
        mode: min or max.
        time: what the curves go by.
        folder: the sweep's.

    Returns:
        Of each group its "parameters", in JSON's types, "mean", "standard_error" (None of one
        trial) and "trials".
    """
    from rich.console import Console
    from rich.table import Table

    members: dict[str, list[Curve]] = {}
    for result in results:
        curve = None if result.error else _curve(result, metric, time)
        if curve is not None:
            values = [jsonable_or_text((result.config or {}).get(name)) for name in compared_by]
            members.setdefault(json.dumps(values, sort_keys=True), []).append(curve)
    groups = [
        {
            "parameters": dict(zip(compared_by, json.loads(key), strict=True)),
            "trials": len(curves),
            **mean_and_error([float(values[-1]) for _, values in curves]),
        }
        for key, curves in members.items()
    ]
    groups.sort(key=lambda group: group["mean"] if mode == "min" else -group["mean"])
    label = metric.rpartition("/")[2]
    table = Table(title=f"{label}, last values, with the standard error of the mean")
    for name in (*compared_by, "trials", label):
        table.add_column(name)
    for group in groups:
        shown = [str(value) for value in group["parameters"].values()]
        table.add_row(*shown, str(group["trials"]), with_error(group))
    Console().print(table)
    named = {
        ", ".join(str(value) for value in json.loads(key) if value is not None): curves
        for key, curves in members.items()
    }
    if named:
        title = f"{label} by {', '.join(compared_by)}"
        storage = Storage.at(folder)
        storage.write_bytes(FIGURE, groups_figure(named, time, label, title))
        print(f"Figure: {storage.shown(FIGURE)}")
    return groups


def mean_and_error(values: Sequence[float]) -> dict[str, float | None]:
    """`mean`, and `standard_error` of it; None of one value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_error": error}


def with_error(figures: dict[str, Any]) -> str:
    """What `mean_and_error` gave, as people read it: 0.123 ± 0.004."""
    error = figures["standard_error"]
    return f"{figures['mean']:.4g}" + ("" if error is None else f" ± {error:.2g}")


def _curve(result: Any, metric: str, time: str) -> Curve | None:
    frame = result.metrics_dataframe
    if frame is None or metric not in frame or time not in frame:
        return None
    values = frame[metric].to_numpy(np.float64)
    there = np.isfinite(values)
    if not there.any():
        return None
    return frame[time].to_numpy(np.float64)[there], values[there]
