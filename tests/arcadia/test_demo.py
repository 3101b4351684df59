"""The demo, for seconds instead of minutes."""

import json
import re

import pytest

from arcadia.cli import main
from arcadia.media.video import probe
from arcadia.runs import RunFolder


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_demo_trains_evaluates_films_and_reports(tmp_path, capsys):
    run_dir = tmp_path / "demo"
    words = ["--minutes", "0.1", "--episodes", "1", "--game", "pong", "--run-dir", str(run_dir)]
    assert main(["demo", *words, "--json"]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert "not a trained agent" in out
    for command in ("train dqn", "evaluate", "watch", "report"):
        assert f"$ arcadia {command} " in out
    assert f"Report: {run_dir}/report.html" in out

    run = RunFolder.open(run_dir)
    assert (run.kind, run.status, run.seed) == ("dqn", "completed", 1)
    assert run.checkpoints() == [result["train"]["env_steps"]]
    scores = run.read_json("evaluation.json")
    assert scores["returns"] == [result["mean"]]
    assert scores["random_returns"] == [result["random_mean"]]
    # Whole games: one side has 21 points.
    assert all(-21 <= score <= 21 for score in (result["mean"], result["random_mean"]))
    film = probe(run_dir / "watch.mp4")
    assert film.fps == 15
    assert 0 < film.num_frames <= 60 * 15

    assert result["report"] == f"{run_dir}/report.html"
    html = run.read_bytes("report.html").decode()
    # A page of one file: all that it loads is in it.
    loads = re.findall(
        r"""(?:\b(?:src|href|poster|data|action)\s*=|url\()\s*["']?([^"'\s>)]+)""", html
    )
    assert loads
    assert all(re.match("data:|#", load) for load in loads)
    assert "@import" not in html
    for part in ("DQN on Pong", "Predicted value", "<video", "replay_capacity", "random", "Scores"):
        assert part in html
    # On a machine that is slow or busy, no game of Pong ends in six seconds.
    has_ended = result["train"]["episode_return_mean"] is not None
    assert ("Learning curve" in html) == has_ended
