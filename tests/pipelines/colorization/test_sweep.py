"""The sweep of the repository, shrunken, and what it needs."""

import json
from pathlib import Path

import pytest

from arcadia.cli import main
from arcadia.runs import RunFolder

SHRUNKEN = """
import dataclasses
from ray import tune
import tune_configs.colorizer as whole

def trial(*, width, image_size, **others):
    whole._STEPS = 40
    whole.trial(image_size=32, width=width / 5, **others)

def sweep():
    whole._STEPS = 40
    space, tune_config = whole.sweep()
    space.parameters["activation"] = tune.grid_search(["relu", "noisy_hard_tanh"])
    tune_config.num_samples = 1
    return dataclasses.replace(space, trainable=trial), tune_config
"""


@pytest.mark.slow
def test_the_sweep_runs_shrunken(ready: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("ARCADIA_PLACES", str(ready))
    file = tmp_path / "sweep.py"
    file.write_text(SHRUNKEN)
    code = main(["tune", str(file), "--run-dir", f"{tmp_path}/sweep", "--seed", "1", "--json"])
    out, error = capsys.readouterr()
    assert code == 0, error
    result = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert (result["trials"], result["failed"]) == (2, 0)
    best = result["best"]
    assert best["metric"] == "ab_mse" and best["value"] > 0
    assert {"alpha", "width", "optimizer", "activation"} <= set(best["parameters"])
    assert len(list((tmp_path / "sweep").glob("trial_*/run/run.json"))) == 2
    files = [json.loads(file.read_text()) for file in (tmp_path / "sweep").glob("*/params.json")]
    assert {own["activation"] for own in files} == {"relu", "noisy_hard_tanh"}
    # The best one is a run as any other.
    assert RunFolder.open(best["checkpoint"]).status == "completed"


def test_the_sweep_names_what_it_needs(monkeypatch, capsys):
    monkeypatch.delenv("ARCADIA_PLACES", raising=False)
    assert main(["tune", "tune_configs/colorizer.py"]) == 2
    assert "set ARCADIA_PLACES to the folder" in capsys.readouterr().err
