"""Jobs of the pipelines on several nodes with a GPU each, of Ray's account, one of which goes."""

from pathlib import Path

import pytest

from arcadia.media import probe
from arcadia.runs import RunFolder
from pipelines.places import PreparedData
from tests.pipelines.several_nodes import WORKERS
from tests.scripts import told_by


@pytest.mark.slow
@pytest.mark.parametrize("job", list(WORKERS))
def test_workers_land_where_gpus_are_and_a_node_goes(job: str, tmp_path: Path):
    script = "tests.pipelines.several_nodes"
    told, _ = told_by(script, job, str(tmp_path), timeout_s=400)
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
        assert run.checkpoints()[-1] == 300
        assert "Workers died (1 of 3 times that may be)" in said
    elif job == "colorize":
        assert len(list((folder / "out").rglob("*-color.png"))) == 300
    else:
        films = sorted((folder / "out").iterdir())
        assert [probe(film).num_frames for film in films] == [12] * 4
