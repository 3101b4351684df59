"""Jobs of the pipelines on several nodes with a GPU each, of Ray's account, one of which goes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arcadia.media import probe
from arcadia.runs import RunFolder
from pipelines.places import PreparedData
from tests.pipelines.several_nodes import WORKERS

ROOT = Path(__file__).parents[2]


def told_of(job: str, folder: Path) -> dict[str, Any]:
    """What the script says; it starts a cluster of four nodes in a process of its own."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.several_nodes", job, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("job", list(WORKERS))
def test_workers_land_where_gpus_are_and_a_node_goes(job: str, tmp_path: Path):
    told = told_of(job, tmp_path)
    assert told["code"] == 0, told["said"]
    worker, gone = WORKERS[job], told["gone"]
    before = {name for name, seen in told["before"].items() if worker in seen}
    after = {name for name, seen in told["after"].items() if worker in seen}
    assert gone in before <= set("abc")
    if job != "places":  # whose tasks go where a CPU is free, in what order Ray likes
        assert len(before) == 2 and after == set("abc") - {gone}
    assert after and after <= set("abc") - {gone}
    _check(job, tmp_path, told["said"])


def _check(job: str, folder: Path, said: str) -> None:
    """Nothing is missing, and nothing is there twice."""
    if job == "places":
        data = PreparedData.open(str(folder / "out"))
        assert data.num_images == 600
        names = [n for group in data.row_groups() for n in data.read(group)["name"].to_pylist()]
        assert len(set(names)) == 600
        return
    run = RunFolder.open(folder / "run")
    assert run.status == "completed"
    if job in ("colorizer", "sequence"):
        assert run.checkpoints()[-1] == (60 if job == "colorizer" else 300)
        assert "Workers died (1 of 3 times that may be)" in said
    elif job == "colorize":
        assert len(list((folder / "out").rglob("*-color.png"))) == 300
    else:
        films = sorted((folder / "out").iterdir())
        assert [probe(film).num_frames for film in films] == [12] * 4
