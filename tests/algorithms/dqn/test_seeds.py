"""Several seeds of one training: stopped, gone on with, evaluated; actors that are killed."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from algorithms.dqn import preset
from algorithms.dqn.job import TrainOptions
from algorithms.dqn.seeds import SeedTrainer
from arcadia.cli import main
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from tests.algorithms.dqn import faults

pytestmark = pytest.mark.usefixtures("ray_session")

SMALL = [
    *("--env", "CartPole-v1"),
    *("--learning-starts", "100"),
    *("--steps-per-iteration", "200"),
    *("--held-out-states", "8"),
    *("--hidden-size", "32"),
    *("--replay-capacity", "5000"),
    *("--eval-period-frames", "400"),
    *("--eval-episodes", "2"),
]


def when(is_so: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Acts from another thread as soon as something is so."""

    def wait() -> None:
        until = time.monotonic() + 200
        while not is_so():
            assert time.monotonic() < until
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def train(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict, str]:
    assert main(["train", "dqn", *words, "--json"]) == 0
    out = capsys.readouterr().out
    return json.loads(out.splitlines()[-1]), out


@pytest.mark.slow
def test_seeds_are_stopped_gone_on_with_and_looked_at(tmp_path, capsys):
    folder = tmp_path / "seeds"
    words = [*SMALL, "--seeds", "2", "--seed", "7", "--run-dir", str(folder)]
    has_begun = (folder / "seed-7" / "run.json").exists
    interrupt = when(has_begun, lambda: os.kill(os.getpid(), signal.SIGINT))
    stopped, out = train(capsys, *words)
    interrupt.join()
    assert f"go on with --resume {folder}" in out
    assert RunFolder.open(folder).status == "stopped"
    assert stopped["seeds"] == [7, 8]
    for seed in (7, 8):
        run = RunFolder.open(folder / f"seed-{seed}")
        assert (run.status, run.seed, len(run.checkpoints())) == ("stopped", seed, 1)

    for contrary, complaint in (
        (["--seeds", "3"], "seeds 3: the run was made with 2 seeds"),
        (["--lr", "0.1"], "lr 0.1: the run"),
    ):
        assert main(["train", "dqn", "--resume", str(folder), *contrary]) == 2
        assert complaint in capsys.readouterr().err

    total = max(run["env_steps"] for run in stopped["runs"]) + 1_000
    done, _ = train(capsys, "--resume", str(folder), "--total-frames", str(total))
    assert all(run["env_steps"] >= total for run in done["runs"])
    assert Path(done["figure"]).read_bytes()[:4] == b"\x89PNG"
    for name in ("episode_return_mean", "evaluation_return_mean"):
        end = done[name]
        assert end["num_seeds"] == 2
        assert end["low"] <= end["mean"] <= end["high"]
    curves = [
        read_scalars(RunFolder.open(folder / f"seed-{s}"))["episode/return_mean"] for s in (7, 8)
    ]
    assert done["episode_return_mean"]["mean"] == pytest.approx(sum(c[1][-1] for c in curves) / 2)
    assert (curves[0][1] != curves[1][1]).any()  # two seeds, two curves

    # An actor whose seed has nothing left to do says so at once.
    config = RunFolder.open(folder).config
    command = TrainOptions(
        run_dir=str(folder / "seed-7"), options=preset("fast", **config["options"])
    )
    short = replace(command, options=replace(command.options, total_frames=100))
    told = SeedTrainer(short, None, num_cpus=1).turn(stop=False)
    assert told["result"]["env_steps"] == done["runs"][0]["env_steps"]

    assert main(["evaluate", str(folder), "--episodes", "2", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scores["games"]["CartPole-v1"]["num_runs"] == 2
    assert main(["report", str(folder)]) == 0
    assert "95 % confidence band" in (folder / "report.html").read_text()
    capsys.readouterr()
    assert main(["watch", str(folder)]) == 2
    assert "holds several runs (seed-7, seed-8); name one of them" in capsys.readouterr().err


def trainers() -> list[int]:
    """Process ids of the actors that train seeds."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if words.startswith(b"ray::SeedTrainer"):
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_killed_actor_is_replaced_and_its_seed_goes_on(tmp_path, capsys):
    folder = tmp_path / "seeds"
    checkpoints = folder / "seed-1" / "checkpoints"
    words = [*SMALL, "--seeds", "2", "--seed", "1", "--run-dir", str(folder)]
    every_iteration = ["--checkpoint-minutes", "0.0001"]

    def kill() -> None:
        for pid in trainers():
            os.kill(pid, signal.SIGKILL)

    killer = when(lambda: any(checkpoints.glob("0*")), kill)
    result, out = train(capsys, *words, *every_iteration, "--total-frames", "4000")
    killer.join()
    assert "its actor died" in out
    assert [run["env_steps"] for run in result["runs"]] == [4_000, 4_000]
    history = [entry["status"] for entry in RunFolder.open(folder / "seed-1").info["history"]]
    assert history == ["running", "running", "completed"]


def test_fewer_than_two_seeds_are_refused(capsys):
    assert main(["train", "dqn", *SMALL, "--seeds", "1"]) == 2
    assert "seeds 1: must be between 2 and 1000" in capsys.readouterr().err


@pytest.mark.slow
def test_a_seed_that_fails_says_so_in_its_run(tmp_path, capsys):
    folder = tmp_path / "seeds"
    words = [*SMALL[2:], "--env", f"{faults.__name__}:Breaks-v0", "--run-dir", str(folder)]
    words += ["--seeds", "2", "--seed", "1", "--total-frames", "4000"]
    assert main(["train", "dqn", *words]) == 1
    error = capsys.readouterr().err
    assert "2 of 2 seeds failed (" in error and "seed 1: RuntimeError: the pole broke" in error
    assert RunFolder.open(folder).status == "failed"
    for seed in (1, 2):
        run = RunFolder.open(folder / f"seed-{seed}")
        assert run.status == "failed" and "the pole broke" in run.info["details"]["error"]
        assert "runner/epsilon" in read_scalars(run)
