"""Sweeps: the file of the repository, shrunken, on real Pong; and files that cannot be used."""

import json

import pytest

from arcadia.cli import main

SHRUNKEN = """
from tune_configs.dqn_pong import sweep as whole

def sweep():
    config, tune_config = whole()
    config.training(
        total_frames=900, steps_per_iteration=300, learning_starts=200, held_out_states=16,
        replay_capacity=5000, num_envs_per_env_runner=4, max_episode_frames=300,
    )
    tune_config.num_samples = 2
    return config, tune_config
"""


@pytest.mark.usefixtures("ray_session")
def test_the_pong_sweep_runs_shrunken(tmp_path, capsys):
    file = tmp_path / "small.py"
    file.write_text(SHRUNKEN)
    run_dir = tmp_path / "sweep"
    assert main(["tune", str(file), "--run-dir", str(run_dir), "--seed", "1", "--json"]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert (result["trials"], result["failed"]) == (2, 0)
    best = result["best"]
    assert set(best["parameters"]) == {"lr", "target_update_period", "updates_per_step"}
    assert best["metric"] == "env_runners/episode_return_mean"
    assert -21 <= best["value"] <= 21
    assert str(run_dir) in best["checkpoint"]
    assert "2 trials, 0 failed" in out


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (
            "from algorithms.dqn import DQNConfig\n"
            "def sweep(): return DQNConfig().training(lrr=1), None",
            'lrr: no option of DQN; did you mean "lr"?',
        ),
        (
            "from algorithms.dqn import DQNConfig\n"
            "def sweep():\n    c = DQNConfig()\n    c.n_steps = 3\n    return c, None",
            'did you mean "n_step"?',
        ),
        ("x = 1", "sweep() failed with AttributeError"),
        ("def sweep(): return 1, 2", "sweep() returned int and int"),
        ("def sweep(: pass", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_starts(
    code: str, complaint: str, tmp_path, capsys
):
    file = tmp_path / "sweep.py"
    file.write_text(code)
    assert main(["tune", str(file), "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert str(file) in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()
