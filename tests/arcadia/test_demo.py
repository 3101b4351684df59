"""The demo, for seconds of training instead of minutes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.jobs import job_of
from arcadia.media import read_image
from arcadia.media.video import probe, read_video
from arcadia.runs import RunFolder

_NOT = ("no trained player", "no network of the paper's", "tables instead", "a draft", "a tenth")


def _result(out: str) -> dict:
    return json.loads(out.splitlines()[-1], parse_constant=pytest.fail)


def _loads(html: str) -> list[str]:
    """What a page loads or leads to."""
    return re.findall(
        r"""(?:\b(?:src|href|poster|data|action)\s*=|url\()\s*["']?([^"'\s>)]+)""", html
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_demo_shows_all_five_systems_and_says_what_each_is_not(tmp_path: Path, capsys):
    folder = tmp_path / "demo"
    words = ["--minutes", "0.1", "--episodes", "1", "--run-dir", str(folder)]
    assert main(["demo", *words, "--json"]) == 0
    out = capsys.readouterr().out
    result = _result(out)
    kinds = dict(pong="dqn", photographs="colorize", chain="hdqn-chain")
    kinds |= dict(clip="stylize", integers="sequence")
    assert list(result["parts"]) == list(kinds)
    html = (folder / "index.html").read_text()
    assert result["report"] == str(folder / "index.html") and result["report"] in out
    for label in _NOT:
        assert label in out and label in html.replace("&#39;", "'")
    for name, kind in kinds.items():
        run = RunFolder.open(folder / name)
        assert (run.kind, run.status) == (kind, "completed")
        page = (folder / name / "report.html").read_text()
        assert "It is" in page or "It has" in page, "its own page is labelled, too"
        assert all(re.match("data:|#", load) for load in _loads(page)) and "@import" not in page
        assert f"./{name}/report.html" in _loads(html)
    others = [load for load in _loads(html) if not re.match(r"data:|#|\./\w+/report", load)]
    assert others == []
    assert html.count("<video") == 2 and html.count('src="data:image') >= 2

    # Pong: whole games, and a film of one.
    pong = RunFolder.open(folder / "pong")
    scores = pong.read_json("evaluation.json")
    assert scores["returns"] == [result["parts"]["pong"]["mean"]]
    assert all(-21 <= score <= 21 for score in scores["returns"] + scores["random_returns"])
    assert 0 < probe(folder / "pong" / "watch.mp4").num_frames <= 20 * 15
    # The clip: whole, with its sound, and in other colours.
    painted = probe(folder / "painted.mp4")
    assert (painted.num_frames, painted.has_audio) == (50, True)
    assert np.std(next(iter(read_video(folder / "painted.mp4")))) > 20
    # The photographs have colours.
    coloured = sorted((folder / "coloured").iterdir())
    assert len(coloured) == 6
    assert all(np.ptp(read_image(p).astype(int), axis=2).mean() > 5 for p in coloured)
    # The chain at its full length: one learns, the other does not.
    chain = RunFolder.open(folder / "chain")
    figures = job_of(chain).headline(chain).figures
    assert figures["reward, h-DQN"] > 0.1 > 0.02 > figures["reward, Q-learning"]
    # The integers: at least half of the answers are right, of eleven to choose from.
    integers = RunFolder.open(folder / "integers")
    assert job_of(integers).headline(integers).figures["error"] < 0.5


@pytest.mark.usefixtures("ray_session")
def test_parts_of_it_and_never_over_another(tmp_path: Path, capsys):
    words = ["demo", "--parts", "photographs", "--run-dir", str(tmp_path / "demo")]
    assert main([*words, "--json"]) == 0
    assert list(_result(capsys.readouterr().out)["parts"]) == ["photographs"]
    page = (tmp_path / "demo" / "index.html").read_text()
    assert "All runs" in page and "206 photographs" in page and "Pong" not in page

    assert main(words) == 2
    assert "photographs" in capsys.readouterr().err
    assert main([*words[:2], "pongg", "--run-dir", str(tmp_path / "x")]) == 2
    assert 'parts "pongg": want some of pong, photographs' in capsys.readouterr().err
    assert main([*words[:4], "s3://bucket/demo"]) == 2
    assert "needs a folder on this machine" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
