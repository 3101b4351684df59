"""Sweeps: the file of the repository, shrunken, on real Pong; and files that cannot be used."""

import json
from pathlib import Path

import pytest

from arcadia.cli import main
from arcadia.runs import RunFolder

PONG = """
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

SEVEN = """
from tune_configs.dqn_seven_games import sweep as whole

def sweep():
    config, tune_config = whole()
    config.training(
        total_frames=800, steps_per_iteration=100, learning_starts=50, held_out_states=16,
        replay_capacity=2000, max_episode_frames=200,
    )
    config.game["grid_search"] = config.game["grid_search"][:2]
    return config, tune_config
"""

# A trial of Catch, whose games last eleven steps, takes no time but that of its worker's start.
CATCH = """
from ray import tune
from algorithms.dqn import DQNConfig

def sweep():
    config = DQNConfig.preset("fast", **{options}).training(
        num_envs_per_env_runner=1, held_out_states=0, learning_starts=100, replay_capacity=200,
        lr=tune.loguniform(1e-5, 1e-3),
    )
    return config, tune.TuneConfig(metric={metric!r}, mode="max", num_samples=1)
"""
RETURN = "env_runners/episode_return_mean"


def catch(metric: str = RETURN, **options: object) -> str:
    return CATCH.format(metric=metric, options={"env": "Catch-v0"} | options)


def drawn(run_dir: Path) -> dict[float, int]:
    """What the trials of a sweep drew, by their learning rate."""
    files = [json.loads(file.read_text()) for file in run_dir.glob("*/params.json")]
    return {config["lr"]: config["target_update_period"] for config in files}


@pytest.fixture
def tune(tmp_path, capsys):
    """Runs `arcadia tune` on a file of this text; returns (code, stdout, stderr)."""

    def run(text: str, *words: str) -> tuple[int, str, str]:
        file = tmp_path / "sweep.py"
        file.write_text(text)
        code = main(["tune", str(file), *words])
        return code, *capsys.readouterr()

    return run


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_pong_sweep_runs_shrunken(tmp_path, tune):
    code, out, err = tune(PONG, "--run-dir", f"{tmp_path}/one/", "--seed", "1", "--json")
    assert code == 0, err
    result = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert result["run"] == f"{tmp_path}/one"
    assert (result["trials"], result["failed"]) == (2, 0)
    best = result["best"]
    assert set(best["parameters"]) == {"lr", "target_update_period", "updates_per_step"}
    assert best["metric"] == RETURN
    assert -21 <= best["value"] <= 21
    assert best["checkpoint"].startswith(f"{tmp_path}/one/")
    assert Path(best["checkpoint"], "rllib_checkpoint.json").is_file()
    assert "2 trials, 0 failed" in out
    assert result["index"] == f"{tmp_path}/one/index.html"
    page = (tmp_path / "one" / "index.html").read_text()
    assert f"arcadia tune {tmp_path}/sweep.py --json --seed 1" in page
    assert page.count("TERMINATED") == 0 and page.count("completed") >= 3  # the sweep, and trials
    assert f"{best['value']:.4g}" in page and "target_update_period" in page
    run = RunFolder.open(tmp_path / "one")
    assert (run.status, run.config["metric"], run.seed) == ("completed", RETURN, 1)

    # The checkpoint is DQN's own.
    from algorithms.dqn import DQN

    algo = DQN.from_checkpoint(best["checkpoint"])
    assert algo.num_env_steps >= 900
    assert algo.options.lr == best["parameters"]["lr"]
    algo.stop()

    # The same seed draws the same again, at another number of trials at once.
    few = ["--num-samples", "1", "--max-concurrent-trials", "1"]
    code, *_ = tune(PONG, "--run-dir", f"{tmp_path}/two", "--seed", "1", *few)
    assert code == 0
    assert len(drawn(tmp_path / "one")) == 2
    assert len(drawn(tmp_path / "two")) == 1
    assert drawn(tmp_path / "two").items() <= drawn(tmp_path / "one").items()

    # A folder that holds a sweep is not mixed with another one.
    code, out, err = tune(PONG, "--run-dir", f"{tmp_path}/one")
    assert (code, out) == (2, "")
    assert "already holds a run; go on with it by --resume" in err


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_sweep_of_seven_games_runs_shrunken(tmp_path, tune):
    code, out, err = tune(SEVEN, "--run-dir", f"{tmp_path}/run", "--json")
    assert code == 0, err
    result = json.loads(out.splitlines()[-1])
    assert (result["trials"], result["failed"]) == (2, 0)
    files = [json.loads(file.read_text()) for file in (tmp_path / "run").glob("*/params.json")]
    assert {config["game"] for config in files} == {"beam_rider", "breakout"}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.slow
def test_a_first_report_without_a_score_does_not_end_the_sweep(tmp_path, tune):
    # As in Pong, where no game ends in the first thousand steps.
    text = catch(total_frames=40, steps_per_iteration=4)
    code, out, err = tune(text, "--run-dir", f"{tmp_path}/run", "--json")
    assert code == 0, err
    assert -1 <= json.loads(out.splitlines()[-1])["best"]["value"] <= 1


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            catch(f"{RETURN}s", total_frames=40, steps_per_iteration=40),
            f'metric "{RETURN}s": the trials report none of that name',
            marks=pytest.mark.slow,
        ),
        (
            catch(env="Pendulum-v1"),
            "all 1 trials failed, the first with arcadia.errors.UserError: env "
            '"Pendulum-v1": its action space is',
        ),
        (
            catch(env=None, game="pnog"),  # seen when the sweep is set up, before any trial
            'arcadia: game "pnog": no such ROM; did you mean "pong"?',
        ),
    ],
)
def test_what_only_a_trial_can_see_is_one_short_line(text: str, complaint: str, tmp_path, tune):
    code, _, err = tune(text, "--run-dir", f"{tmp_path}/run")
    assert code == 2
    told = err.splitlines()[-1]
    assert told.startswith("arcadia: ")
    assert complaint in told
    assert len(told) < 400
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("text", "complaint"),
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
        (
            "from algorithms.dqn import DQNConfig\n"
            "def sweep(): return DQNConfig().update_from_dict({'gama': 0.9}), None",
            'did you mean "gamma"?',
        ),
        (
            "from ray import tune\nfrom algorithms.dqn import DQNConfig\n"
            "def sweep(): return DQNConfig(), tune.TuneConfig(mode='max')",
            "its TuneConfig must name metric and mode",
        ),
        ("x = 1", "defines no function sweep()"),
        ("def sweep(): return 1, 2", "sweep() returned int, int; it must return an Algorithm"),
        ("def sweep(): pass", "sweep() returned NoneType"),
        ("def sweep(): return 1, 2, 3", "sweep() returned int, int, int"),
        ("def sweep(n): return n", "sweep() failed with TypeError"),
        ("def sweep(: pass", "SyntaxError"),
        ("import nowhere", "No module named 'nowhere'"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_starts(
    text: str, complaint: str, tmp_path, tune
):
    code, out, err = tune(text, "--run-dir", f"{tmp_path}/run")
    assert (code, out) == (2, "")
    assert complaint in err
    assert f"{tmp_path}/sweep.py: " in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_told_with_those_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["tune", "tune_configs/dqn_pogn.py", "--run-dir", f"{tmp_path}/run"]) == 2
    err = capsys.readouterr().err
    assert "tune_configs/dqn_pogn.py: no such file; there is tune_configs/" in err
    assert "tune_configs/dqn_pong.py" in err
    assert not (tmp_path / "run").exists()
