"""Trials of a sweep put together by what they are compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from arcadia.comparison import FIGURE, compare


class Result(NamedTuple):
    """What Tune has of a trial, as far as it is looked at."""

    config: dict[str, Any]
    metrics_dataframe: pd.DataFrame
    error: Exception | None = None


def result(value: Any, end: float) -> Result:
    frame = pd.DataFrame({"step": [1, 2], "loss": [9.0, end]})
    return Result({"layers": value, "rate": np.int64(3)}, frame)


def test_values_of_any_kind_make_groups(tmp_path: Path, capsys):
    results = [result([64], 1.0), result([64], 3.0), result([64, 64], 5.0), result(Path("x"), 0.5)]
    names = ("layers", "rate")
    groups = compare(results, names, "loss", "min", "step", str(tmp_path))
    assert [(g["parameters"]["layers"], g["mean"], g["trials"]) for g in groups] == [
        *(("x", 0.5, 1), ([64], 2.0, 2), ([64, 64], 5.0, 1)),
    ]
    assert json.loads(json.dumps(groups)) == groups
    assert (tmp_path / FIGURE).stat().st_size > 5_000
    assert "[64, 64]" in capsys.readouterr().out
