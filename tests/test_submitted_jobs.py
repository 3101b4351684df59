"""Every kind of command as a job of a real head node with token authentication.

What they import in drivers, actors, Train workers, Data actors and trials comes from the job's own
copy; results, exit codes and logs reach the submitter.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from arcadia.media import VideoWriter, probe, write_image
from arcadia.runs import RunFolder
from tests.pipelines.pictures import colorful
from tests.submitting import Submitted, ray_job, submit

pytestmark = pytest.mark.slow
ARCADIA = ("python", "-m", "arcadia")

SWEEP = """
import dataclasses
from ray import tune
import tune_configs.noisy_sequences as whole

def sweep():
    space, tune_config = whole.sweep()
    variants = tune.grid_search(["hard", "nan"])
    parameters = space.parameters | {"variant": variants, "repeat": 0, "steps": 20}
    return dataclasses.replace(space, parameters=parameters), tune_config
"""


def check(done: Submitted) -> None:
    """A job that succeeded, and whose log is one to read."""
    assert done.code == 0, done.log[-4000:]
    assert "Traceback" not in done.log
    # Lines, and no redrawn bar; what actors say themselves Ray puts a coloured name before.
    own = [line for line in done.log.splitlines() if not line.startswith("\x1b[36m(")]
    assert "\r" not in done.log and not any("\x1b[" in line for line in own)
    assert re.search(r"Job '[\w-]+' succeeded", done.log)


@pytest.fixture(scope="module")
def prepared(head, tmp_path_factory) -> tuple[Path, Path]:
    """Pictures prepared by a job, and a colorizer trained on them by another."""
    folder = tmp_path_factory.mktemp("colours")
    for number in range(24):
        place = folder / "pictures" / ("a", "b")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_image(place, colorful(seed=number))
    done = submit(
        *(head, *ARCADIA, "places", "prepare", folder / "pictures", folder / "data"),
        *("--size", 48, "--json"),
    )
    check(done)
    assert done.result["images"] == 24, done.result
    done = submit(
        *(head, *ARCADIA, "train", "colorizer", "--data", folder / "data"),
        *("--run-dir", folder / "run", "--steps", 6, "--batch-size", 4, "--width", 0.05),
        *("--image-size", 32, "--seed", 1, "--json"),
    )
    check(done)
    assert done.result["status"] == "completed" and done.result["steps"] == 6
    return folder / "data", folder / "run"


def test_dqn_with_actors_trains_is_judged_filmed_exported_and_reported(head, tmp_path: Path):
    run = tmp_path / "run"
    done = submit(
        *(head, *ARCADIA, "train", "dqn", "--game", "pong", "--max-episode-frames", 600),
        *("--run-dir", run, "--total-frames", 6000, "--learning-starts", 200),
        *("--held-out-states", 24, "--replay-capacity", 5000, "--eval-period-frames", 0),
        *("--steps-per-iteration", 250, "--num-env-runners", 1, "--seed", 1, "--json"),
    )
    check(done)
    assert done.result["status"] == "completed"
    assert RunFolder.open(run).checkpoints()
    done = submit(
        *(head, *ARCADIA, "evaluate", run, "--episodes", 2, "--num-env-runners", 1, "--json")
    )
    check(done)
    assert len(done.result["returns"]) == 2
    done = submit(head, *ARCADIA, "watch", run, "--max-seconds", 2, "--json")
    check(done)
    assert probe(done.result["film"]).num_frames == 30
    done = submit(head, *ARCADIA, "export", run, "--json")
    check(done)
    assert (run / "policy.onnx").exists()
    done = submit(head, *ARCADIA, "report", run, "--json")
    check(done)
    assert Path(done.result["report"]).stat().st_size > 10_000


def test_a_part_of_the_demo(head, tmp_path: Path):
    done = submit(
        *(head, *ARCADIA, "demo", "--parts", "chain", "--run-dir", tmp_path / "demo", "--json")
    )
    check(done)
    assert Path(done.result["report"]).stat().st_size > 10_000


def test_hdqn_trains(head, tmp_path: Path):
    done = submit(
        *(head, *ARCADIA, "train", "hdqn", "--env", "chain", "--run-dir", tmp_path / "run"),
        *("--num-seeds", 2, "--episodes", 2000, "--seed", 1, "--json"),
    )
    check(done)


def test_sequences_train_on_ray_train(head, tmp_path: Path):
    done = submit(
        *(head, *ARCADIA, "train", "sequence", "--steps", 30, "--hidden-size", 8),
        *("--run-dir", tmp_path / "run", "--seed", 1, "--json"),
    )
    check(done)
    assert done.result["steps"] == 30


def test_colorize_on_data_actors(head, prepared: tuple[Path, Path], tmp_path: Path):
    photo = tmp_path / "photo.png"
    write_image(photo, colorful(seed=3))
    done = submit(
        *(head, *ARCADIA, "colorize", photo, "--run", prepared[1]),
        *("--output", tmp_path / "out", "--run-dir", tmp_path / "run", "--json"),
    )
    check(done)
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_stylize_on_data_actors(head, tmp_path: Path):
    with VideoWriter(tmp_path / "clip.mp4", 25) as video:
        for shift in range(4):
            video.write(colorful(seed=1)[:, shift : shift + 48])
    write_image(tmp_path / "style.png", colorful(seed=5))
    done = submit(
        *(head, *ARCADIA, "stylize", tmp_path / "clip.mp4", "--style", tmp_path / "style.png"),
        *("--output", tmp_path / "out.mp4", "--run-dir", tmp_path / "run", "--size", 32),
        *("--iterations-first", 5, "--iterations", 5, "--seed", 1, "--json"),
    )
    check(done)
    assert done.result["frames"] == 4 and (tmp_path / "out.mp4").exists()


def test_a_sweeps_trials(head, tmp_path: Path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    done = submit(
        *(head, *ARCADIA, "tune", tmp_path / "sweep.py", "--run-dir", tmp_path / "run"),
        *("--max-concurrent-trials", 1, "--json"),
    )
    assert done.code == 0, done.log[-4000:]
    assert (done.result["trials"], done.result["failed"]) == (2, 0)


def test_a_mistake_is_one_line_and_the_job_fails_with_its_code(head):
    done = submit(head, *ARCADIA, "train", "dqn", "--game", "pnog")
    assert done.code == 1
    assert 'arcadia: game "pnog": no such ROM; did you mean "pong"?' in done.log
    assert "exit code 2" in done.log
    assert "Traceback" not in done.log


def stopped(head, *words: object, begun: Callable[[], object], name: str) -> Submitted:
    """A job that `ray job stop` is told of when it has begun; what its submitter saw."""
    log: list[Submitted] = []
    thread = threading.Thread(target=lambda: log.append(submit(head, *words, submission_id=name)))
    thread.start()
    until = time.monotonic() + 120
    while thread.is_alive() and time.monotonic() < until and not begun():
        time.sleep(0.1)
    time.sleep(3)
    said = ray_job(head, "stop", name)
    thread.join()
    assert "was stopped" in said, (said, log[0].log[-4000:])
    return log[0]


@pytest.mark.parametrize("kind", ["dqn", "sequence"])
def test_a_training_that_is_stopped_leaves_a_checkpoint_and_goes_on(head, kind, tmp_path: Path):
    folder = tmp_path / "run"
    words, more = {
        "dqn": (
            ["--env", "CartPole-v1", "--total-frames", 10_000_000, "--learning-starts", 500],
            ["--minutes", 0.02],
        ),
        "sequence": (["--steps", 1_000_000, "--hidden-size", 8], ["--minutes", 0.05]),
    }[kind]
    stopped(
        *(head, *ARCADIA, "train", kind, *words, "--run-dir", folder, "--seed", 1),
        begun=lambda: list((folder / "tensorboard").glob("events*")),
        name=f"stopped-{kind}",
    )
    run = RunFolder.open(folder)
    assert run.status == "stopped"
    (step,) = run.checkpoints()[-1:]
    assert step > 0
    done = submit(head, *ARCADIA, "train", kind, "--resume", folder, *more, "--json")
    check(done)
    assert RunFolder.open(folder).checkpoints()[-1] > step


def test_a_sweep_that_is_stopped_goes_on(head, tmp_path: Path):
    folder = tmp_path / "run"
    (tmp_path / "sweep.py").write_text(SWEEP.replace('"steps": 20', '"steps": 400'))
    log = stopped(
        *(head, *ARCADIA, "tune", tmp_path / "sweep.py", "--run-dir", folder),
        *("--max-concurrent-trials", 1),
        begun=lambda: list(folder.glob("trial_*/run/tensorboard/events*")),
        name="stopped-sweep",
    ).log
    assert f"arcadia tune --resume {folder} goes on" in log
    assert RunFolder.open(folder).status == "stopped"
    done = submit(head, *ARCADIA, "tune", "--resume", folder, "--json")
    assert done.code == 0, done.log[-4000:]
    assert (done.result["trials"], done.result["failed"]) == (2, 0)


def test_tokens_are_in_no_log_and_no_run(head, tmp_path: Path):
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    done = submit(
        *(head, *ARCADIA, "train", "sequence", "--steps", 3, "--hidden-size", 4),
        *("--run-dir", tmp_path / "run", "--json"),
    )
    check(done)
    assert token not in done.log
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    logs = Path(head.environment["RAY_TMPDIR"]) / "ray" / "session_latest" / "logs"
    for path in logs.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes(), path
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "completed"
