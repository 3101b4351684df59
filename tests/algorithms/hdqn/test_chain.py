"""`arcadia train hdqn --env chain`, shrunken."""

import json

import pytest

from algorithms.hdqn.chain import FIGURE, curves_of, optimum_at
from arcadia.cli import main
from arcadia.media.images import read_image
from arcadia.runs import RunFolder

SMALL = ["--env", "chain", "--episodes", "1500", "--num-seeds", "2", "--seed", "5"]


def run_cli(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    return capsys.readouterr().err


def test_the_chain_is_solved_compared_and_reported(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    result = run_cli(capsys, "train", "hdqn", *SMALL, "--run-dir", run_dir)
    for key in ("hdqn_reward", "q_learning_reward"):
        assert len(result[f"{key}_seeds"]) == 2
        assert result[f"{key}_mean"] == pytest.approx(sum(result[f"{key}_seeds"]) / 2)
        assert result[f"{key}_standard_error"] >= 0
    run = RunFolder.open(run_dir)
    assert (run.kind, run.status, run.seed) == ("hdqn-chain", "completed", 5)
    curves = curves_of(run)
    assert [len(c.reward) for own in curves.values() for c in own] == [2] * 4  # 1,000 and 500
    assert read_image(run.path / FIGURE).shape[2] == 3
    assert main(["report", run_dir]) == 0
    page = (run.path / "report.html").read_text()
    assert "h-DQN, mean reward" in page and "goal s6" in page


def test_a_run_goes_on_with_the_seeds_that_are_left(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    whole = run_cli(capsys, "train", "hdqn", *SMALL, "--run-dir", run_dir)
    run = RunFolder.open(run_dir)
    (run.path / "hdqn-6.npz").unlink()
    kept = (run.path / "hdqn-5.npz").stat().st_mtime_ns
    again = run_cli(capsys, "train", "hdqn", "--resume", run_dir)
    assert again["hdqn_reward_seeds"] == whole["hdqn_reward_seeds"]
    assert (run.path / "hdqn-5.npz").stat().st_mtime_ns == kept
    said = refused(capsys, "train", "hdqn", "--resume", run_dir, "--lr", "0.1")
    assert "lr 0.1: the run" in said and "was made with 0.00025" in said
    assert "--resume" in refused(capsys, "train", "hdqn", *SMALL, "--run-dir", run_dir)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "chian"], 'env "chian": nothing that h-DQN plays; did you mean "chain"?'),
        (["--env", "chain", "--lr", "0"], "lr 0.0: must be between"),
        (["--env", "chain", "--episods", "5"], "--episods: no such option"),
        (["--resume", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_said_in_one_line(words: list[str], message: str, capsys):
    said = refused(capsys, "train", "hdqn", *words)
    assert message in said and said.count("\n") == 1


def test_what_cannot_be_done_with_tables_is_said(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    run_cli(capsys, "train", "hdqn", *SMALL[:-2], "--episodes", "50", "--run-dir", run_dir)
    for command in ("evaluate", "watch", "export"):
        assert "chain" in refused(capsys, command, run_dir) or command == "export"


def test_ceilings_are_the_gamblers():
    assert optimum_at(0) == pytest.approx(0.208)
    assert optimum_at(0.1) == pytest.approx(0.1705, abs=5e-5)
