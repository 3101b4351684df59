"""The sweep of weights, shrunken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arcadia.cli import main
from arcadia.runs import RunFolder

SHRUNKEN = """
import dataclasses
from pathlib import Path
from ray import tune
import tune_configs.stylization_weights as whole

def sweep():
    space, tune_config = whole.sweep()
    parameters = space.parameters | {
        "style_weight": 20.0,
        "temporal_weight": tune.grid_search([0.0, 200.0]),
        "size": 32,
        "iterations_first": 12,
        "iterations": 12,
        "preview": "0:3",
    }
    carry_out = space.trainable

    def dies_once(**parameters):
        carry_out(**parameters)
        mark = Path("{marks}", str(parameters["temporal_weight"]))
        if not mark.exists():
            mark.touch()
            raise RuntimeError("when all is done, and the frames are gone")

    space = dataclasses.replace(space, parameters=parameters, trainable=dies_once)
    return space, tune_config
"""


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_sweep_runs_shrunken(make_film, style: Path, tmp_path: Path, monkeypatch, capsys: Any):
    monkeypatch.setenv("ARCADIA_VIDEO", str(make_film(tmp_path / "film.mp4", 5)))
    monkeypatch.setenv("ARCADIA_STYLE", str(style))
    file = tmp_path / "sweep.py"
    file.write_text(SHRUNKEN.replace("{marks}", str(tmp_path)))
    code = main(["tune", str(file), "--run-dir", f"{tmp_path}/sweep", "--seed", "1", "--json"])
    out, error = capsys.readouterr()
    assert code == 0, error
    result = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert (result["trials"], result["failed"]) == (2, 0), out
    errors = {g["parameters"]["temporal_weight"]: g["mean"] for g in result["groups"]}
    assert 0 < errors[200.0] < errors[0.0]  # what the weight is for
    for folder in (tmp_path / "sweep").glob("trial_*/run"):
        run = RunFolder.open(folder)
        assert run.status == "completed" and run.exists("report.html")
        assert run.exists("film-squares.mp4")
    assert (tmp_path / "0.0").exists() and (tmp_path / "200.0").exists()


@pytest.mark.parametrize("missing", ["ARCADIA_VIDEO", "ARCADIA_STYLE"])
def test_the_sweep_names_what_it_needs(missing: str, style: Path, monkeypatch, capsys: Any):
    for name in ("ARCADIA_VIDEO", "ARCADIA_STYLE"):
        monkeypatch.setenv(name, str(style))
    monkeypatch.delenv(missing)
    assert main(["tune", "tune_configs/stylization_weights.py"]) == 2
    assert f"set {missing} to " in capsys.readouterr().err
    monkeypatch.setenv(missing, "nowhere.mp4")
    assert main(["tune", "tune_configs/stylization_weights.py"]) == 2
    assert f"{missing} nowhere.mp4: no such file" in capsys.readouterr().err
