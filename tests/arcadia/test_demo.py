"""The demo, for seconds instead of minutes."""

import json
import re
from pathlib import Path

import pytest

from arcadia.cli import main


@pytest.mark.usefixtures("ray_session")
def test_the_demo_trains_evaluates_films_and_reports(tmp_path, capsys):
    run_dir = tmp_path / "demo"
    words = ["--minutes", "0.1", "--episodes", "1", "--run-dir", str(run_dir), "--json"]
    assert main(["demo", *words]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert "not a trained agent" in out
    assert f"Report: {run_dir}/report.html" in out
    assert -21 <= result["mean"] <= 21
    assert -21 <= result["random_mean"] <= 21
    html = Path(result["report"]).read_text()
    assert not re.search(r"""(src|href)=["']?https?://""", html)
    for part in ("Learning curve", "Predicted value", "<video", "replay_capacity", "random"):
        assert part in html
