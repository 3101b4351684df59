"""Runs on s3://, against a real server: trained, judged, gone on with, swept; and an outage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from arcadia.media import write_image
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from tests.object_server import ObjectServer, environment_of, object_server
from tests.pipelines.pictures import colorful
from tests.test_submitted_jobs import SWEEP

pytestmark = pytest.mark.slow
pytest.importorskip("moto", reason="moto is not installed: it is the S3 server")
ROOT = Path(__file__).parents[1]
CARTPOLE = ("--env", "CartPole-v1", "--learning-starts", 200, "--steps-per-iteration", 250)


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _reached(server: ObjectServer, monkeypatch) -> None:
    """This process reaches it, too."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


class Ended(NamedTuple):
    code: int
    out: str
    error: str

    @property
    def result(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


def begin(server: ObjectServer, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "arcadia", *map(str, words), "--json"],
        env=environment_of(server) | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(server: ObjectServer, *words: object) -> Ended:
    child = begin(server, *words)
    out, error = child.communicate(timeout=300)
    return Ended(child.returncode, out, error)


def test_dqn_trains_goes_on_is_judged_and_reported(server: ObjectServer):
    run = "s3://arcadia/runs/dqn"
    done = call(server, "train", "dqn", *CARTPOLE, "--total-frames", 1000, "--run-dir", run)
    assert done.code == 0, done.error
    done = call(server, "train", "dqn", "--resume", run, "--total-frames", 1500)
    assert done.code == 0, done.error
    found = RunFolder.open(run)
    assert found.status == "completed" and found.checkpoints()[-1] >= 1500
    done = call(server, "evaluate", run, "--episodes", 2)
    assert done.code == 0 and done.result["mean"] > 0, done.error
    done = call(server, "report", run)
    assert done.code == 0 and done.result["report"] == f"{run}/report.html", done.error
    assert found.read_bytes("report.html").startswith(b"<!doctype html>")
    done = call(server, "train", "dqn", *CARTPOLE, "--run-dir", run)
    assert done.code == 2 and f"{run}: already holds a run" in done.error


def test_ray_train_prepares_trains_and_colours(server: ObjectServer, tmp_path: Path):
    for number in range(16):
        place = tmp_path / "pictures" / ("a", "b")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_image(place, colorful(seed=number))
    data, run = "s3://arcadia/data", "s3://arcadia/runs/colours"
    done = call(server, "places", "prepare", tmp_path / "pictures", data, "--size", 48)
    assert done.code == 0, done.error
    words = ["--batch-size", 4, "--width", 0.05, "--image-size", 32, "--seed", 1]
    done = call(
        server, "train", "colorizer", "--data", data, "--run-dir", run, "--steps", 4, *words
    )
    assert done.code == 0 and done.result["steps"] == 4, done.error
    done = call(
        *(server, "colorize", tmp_path / "pictures" / "a" / "0.png", "--run", run),
        *("--output", tmp_path / "out", "--run-dir", "s3://arcadia/runs/coloured"),
    )
    assert done.code == 0, done.error
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_sweep_stands_there_with_its_trials(server: ObjectServer, tmp_path: Path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    run = "s3://arcadia/runs/sweep?region=us-east-1"
    done = call(server, "tune", tmp_path / "sweep.py", "--run-dir", run)
    assert done.code == 0, done.error
    assert (done.result["trials"], done.result["failed"]) == (2, 0)
    sweep = RunFolder.open(run)
    assert sweep.status == "completed" and sweep.exists("comparison.png")
    assert sweep.exists("tuner.pkl") and len(RunFolder.open(run).storage.list()) > 10
    assert done.result["index"] == "s3://arcadia/runs/sweep/index.html"
    assert sweep.exists("index.html")
    done = call(server, "tune", "--resume", run)
    assert done.code == 0 and done.result["trials"] == 2, done.error


def test_seeds_are_folders_of_their_own_there(server: ObjectServer):
    run = "s3://arcadia/runs/seeds?region=us-east-1"
    words = ["--seeds", 2, "--seed", 3, "--total-frames", 500, "--run-dir", run]
    done = call(server, "train", "dqn", *CARTPOLE, *words)
    assert done.code == 0, done.error
    for seed in (3, 4):
        found = RunFolder.open(f"s3://arcadia/runs/seeds/seed-{seed}?region=us-east-1")
        assert found.status == "completed" and found.seed == seed


def test_an_outage_in_the_middle_leaves_the_last_good_checkpoint(server: ObjectServer):
    run = "s3://arcadia/runs/outage"
    step = shut_in_the_middle(
        *(server, run, "train", "dqn", *CARTPOLE, "--total-frames", 10_000_000),
        *("--checkpoint-minutes", 0.02),
    )
    done = call(server, "train", "dqn", "--resume", run, "--minutes", 0.02)
    assert done.code == 0, done.error
    assert RunFolder.open(run).checkpoints()[-1] > step


def test_an_outage_ends_workers_of_ray_train_and_their_last_checkpoint_stays(
    server: ObjectServer, tmp_path: Path
):
    run = "s3://arcadia/runs/outage-of-workers"
    words = ["--hidden-size", 12, "--batch-size", 8, "--seed", 1, "--num-cpus-per-worker", 1]
    words += ["--validation-period", 1_000_000, "--checkpoint-period", 50]
    step = shut_in_the_middle(
        *(server, run, "train", "sequence", *words, "--steps", 1_000_000, "--max-failures", 0),
    )
    until = step + 60
    done = call(server, "train", "sequence", "--resume", run, "--steps", until)
    assert done.code == 0 and done.result["steps"] == until, done.error
    # It is the run that nothing happened to, on a disk.
    straight = tmp_path / "straight"
    done = call(server, "train", "sequence", *words, "--steps", until, "--run-dir", straight)
    assert done.code == 0, done.error
    curves = [read_scalars(RunFolder.open(place))["train/loss"] for place in (run, straight)]
    assert curves[0][0].tolist() == curves[1][0].tolist()
    assert curves[0][1].tolist() == curves[1][1].tolist()


def shut_in_the_middle(server: ObjectServer, run: str, *words: object) -> int:
    """Begins a run, and lets its storage go out once it has two checkpoints; it ends with one line.

    Returns:
        The step of the last whole checkpoint.
    """
    child = begin(server, *words, "--run-dir", run)
    try:
        for _ in range(600):
            assert child.poll() is None, child.communicate()
            folder = RunFolder.open(run) if _there(run) else None
            if folder is not None and len(folder.checkpoints()) > 1:
                break
            time.sleep(0.1)
        server.gate.shut()
        out, error = child.communicate(timeout=280)
    finally:
        server.gate.open()
        child.kill()
    assert child.returncode in (1, 2), (out, error)
    told = error.splitlines()[-1]
    assert told.startswith(f"arcadia: {run}") and "Traceback" not in error
    assert "secret-of-the-test" not in out + error
    return RunFolder.open(run).find_checkpoint()[1]  # whole: its checksums were compared


def _there(run: str) -> bool:
    try:
        RunFolder.open(run)
    except Exception:
        return False
    return True
