"""The commands of DQN end to end, shrunken, on real environments."""

import json
from pathlib import Path

import numpy as np
import pytest

from algorithms.dqn import load_policy
from arcadia.cli import main
from arcadia.media.video import probe, read_video
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

SMALL = [
    *("--learning-starts", "200"),
    *("--steps-per-iteration", "300"),
    *("--held-out-states", "24"),
    *("--replay-capacity", "5000"),
    *("--num-envs-per-env-runner", "4"),
]

pytestmark = pytest.mark.usefixtures("ray_session")


def run_cli(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_game_is_trained_evaluated_filmed_and_reported(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = ["--game", "pong", "--total-frames", "1200", "--run-dir", run_dir, "--seed", "1"]
    # Short games: an episode of Pong is cut after 600 emulator frames.
    result = run_cli(capsys, "train", "dqn", *words, *SMALL, "--max-episode-frames", "600")
    assert result["env_steps"] >= 1_200
    assert result["env_frames"] == 4 * result["env_steps"]
    assert result["updates"] > 0

    run = RunFolder.open(run_dir)
    assert (run.kind, run.status, run.seed) == ("dqn", "completed", 1)
    assert run.config["preset"] == "fast"
    assert run.config["options"]["max_episode_frames"] == 600
    assert run.checkpoints() == [result["env_steps"]]
    scalars = read_scalars(run)
    assert {
        "episode/return",
        "episode/length",
        "learner/held_out_max_q",
        "learner/td_error_abs",
        "learner/loss",
        "learner/updates_per_s",
        "runner/epsilon",
        "runner/env_steps_per_s",
        "replay/transitions",
        "replay/bytes",
    } <= set(scalars)
    # The x-axis counts emulator frames.
    assert scalars["runner/epsilon"][0][-1] == result["env_frames"]
    lengths = scalars["episode/length"][1]
    assert len(lengths) >= 4
    assert set(lengths) <= set(range(140, 152))
    with np.load(tmp_path / "run" / "held_out.npz") as held_out:
        assert held_out["states"].shape == (24, 4, 84, 84)

    scores = run_cli(capsys, "evaluate", run_dir, "--episodes", "3", "--seed", "5")
    assert len(scores["returns"]) == len(scores["random_returns"]) == 3
    assert scores["mean"] == pytest.approx(np.mean(scores["returns"]))
    assert scores["epsilon"] == 0.05
    again = run_cli(capsys, "evaluate", run_dir, "--episodes", "3", "--seed", "5")
    assert again["returns"] == scores["returns"]

    film = run_cli(capsys, "watch", run_dir, "--max-seconds", "4")
    info = probe(film["film"])
    assert info.num_frames == film["steps"] == 60
    assert info.fps == 15
    first = next(iter(read_video(film["film"])))
    # Left the game in its own colours, right the dark panel.
    assert first[300, 200].astype(int).tolist() == pytest.approx([144, 72, 17], abs=12)
    assert first[-8:, -8:].mean() < 40

    report = run_cli(capsys, "report", run_dir)["report"]
    html = Path(report).read_text()
    for words_shown in ("DQN on Pong", "not a trained agent", "max Q", "Scores", "<video", "gamma"):
        assert words_shown in html


@pytest.mark.slow
def test_another_environment_is_trained_and_filmed(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = ["--env", "Catch-v0", "--total-frames", "400", "--run-dir", run_dir]
    run_cli(capsys, "train", "dqn", *words, *SMALL)
    film = run_cli(capsys, "watch", run_dir)
    assert film["ended"]
    assert film["steps"] == 11
    assert film["score"] in (-1, 1)
    assert "DQN on Catch-v0" in Path(run_cli(capsys, "report", run_dir)["report"]).read_text()


def test_a_resumed_run_goes_on_with_its_own_options(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = ["--env", "CartPole-v1", "--run-dir", run_dir, *SMALL]
    first = run_cli(capsys, "train", "dqn", *words, "--total-frames", "600", "--lr", "1e-3")
    resume = ["train", "dqn", "--resume", run_dir]
    second = run_cli(capsys, *resume, "--total-frames", "1500")
    assert second["env_steps"] >= 1_500
    assert second["updates"] > first["updates"]
    run = RunFolder.open(run_dir)
    assert run.checkpoints() == [first["env_steps"], second["env_steps"]]
    steps = read_scalars(run)["runner/epsilon"][0]
    assert (np.diff(steps) > 0).all()
    for words, complaint in (
        (["--lr", "0.5"], "lr 0.5: the run"),
        (["--seed", "99"], "seed 99: the run was made with seed"),
        (["--preset", "nips2013"], "preset 'nips2013'"),
        (["--run-dir", "elsewhere"], "run_dir"),
    ):
        assert main([*resume, *words]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert len(error.splitlines()) == 1


def test_a_run_without_a_checkpoint_is_told_so(tmp_path, capsys):
    config = {"preset": "fast", "options": {"env": "CartPole-v1"}}
    RunFolder.create(tmp_path / "run", kind="dqn", config=config, seed=1)
    for command in (["evaluate"], ["watch"], ["train", "dqn", "--resume"]):
        assert main([*command, str(tmp_path / "run")]) == 2
        assert "has no checkpoint" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_belong_is_refused_by_name(tmp_path, capsys):
    words = ["train", "dqn", *SMALL, "--total-frames", "300", "--run-dir"]
    assert main([*words, str(tmp_path / "cartpole"), "--env", "CartPole-v1"]) == 0
    ours = RunFolder.open(tmp_path / "cartpole")
    config = {"preset": "fast", "options": {"env": "Acrobot-v1"}}
    other = RunFolder.create(tmp_path / "other", kind="dqn", config=config, seed=1)
    other.publish_checkpoint(ours.checkpoint(ours.checkpoints()[0]), 300)
    foreign = RunFolder.create(tmp_path / "foreign", kind="dqn", config=config, seed=1)
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "model.zip").write_bytes(b"of another library")
    foreign.publish_checkpoint(tmp_path / "things", 300)
    sequence = RunFolder.create(tmp_path / "sequence", kind="sequence", config={}, seed=1)
    capsys.readouterr()
    for run, complaint in (
        (other, 'holds the network of another game: it learnt "CartPole-v1", and "Acrobot-v1" is'),
        (foreign, "holds no policy of DQN (policy.safetensors is missing)"),
        (sequence, 'a run of kind "sequence"; dqn cannot go on with it'),
    ):
        assert main(["train", "dqn", "--resume", str(run.path)]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert len(error.splitlines()) == 1


def test_a_replay_smaller_than_a_batch_is_refused(capsys):
    words = ["--game", "pong", "--replay-capacity", "30", "--learning-starts", "10"]
    assert main(["train", "dqn", *words]) == 2
    error = capsys.readouterr().err
    assert "replay_capacity 30: holds less than one batch; give at least 39" in error
    assert len(error.splitlines()) == 1


def test_the_best_in_evaluation_is_kept_beside_the_last(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = ["--env", "CartPole-v1", "--total-frames", "1500", "--run-dir", run_dir, "--seed", "3"]
    often = ["--eval-period-frames", "600", "--eval-episodes", "3"]
    result = run_cli(capsys, "train", "dqn", *words, *SMALL, *often)
    run = RunFolder.open(run_dir)
    evaluations = run.read_json("evaluations.json")
    assert [e["step"] for e in evaluations] == [600, 1_200]  # each once
    means = [e["return_mean"] for e in evaluations]
    assert all(e["return_min"] <= e["return_mean"] <= e["return_max"] for e in evaluations)
    assert result["evaluation_return_best"] == max(means)
    assert run.checkpoints("best") == [evaluations[int(np.argmax(means))]["step"]]
    assert run.checkpoints() == [result["env_steps"]]
    assert read_scalars(run)["evaluation/return_mean"][1].tolist() == pytest.approx(means)
    best = load_policy(run_dir, "best")
    assert best.step == run.checkpoints("best")[0]
    assert load_policy(run_dir).step == result["env_steps"]
