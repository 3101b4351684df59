"""What Prometheus gets of each kind of job: real ones, on a head node of the tests' own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from arcadia.gauges import metric_of
from arcadia.media import VideoWriter, write_image
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.colorization.files import save_colorizer
from pipelines.colorization.networks import Colorizer
from tests.pipelines.pictures import colorful, encoded
from tests.scraping import PERIOD_S, Job, run_job, scraped

pytestmark = pytest.mark.slow


def check_curves(job: Job, run: Path, kind: str) -> None:
    """Of what TensorBoard has there is a gauge, whose values are points of the curve."""
    names = job.names(kind)
    history = read_scalars(RunFolder.open(run))
    assert names == {"arcadia_step", *(metric_of(tag)[0] for tag in history)}
    steps = np.unique(np.concatenate([steps for steps, _ in history.values()]))
    assert set(job.values("step")) <= set(steps.tolist())
    for tag, (_, values) in history.items():
        for value in job.values(tag):
            # Event files have float32.
            assert np.isclose(values, value, rtol=1e-5, atol=1e-8).any(), (tag, value)


SMALL_DQN = ["--learning-starts", 200, "--steps-per-iteration", 200, "--replay-capacity", 5000]
SMALL_DQN += ["--num-envs-per-env-runner", 2, "--seed", 1]


def test_dqn_in_one_process(head, tmp_path: Path):
    words = ["--game", "pong", "--max-episode-frames", 400, "--minutes", 0.2]
    words += ["--eval-period-frames", 4000, "--eval-episodes", 1, "--held-out-states", 20]
    words += ["--run-dir", tmp_path / "run"]
    job = run_job(head, tmp_path, tmp_path / "run", "train", "dqn", *words, *SMALL_DQN)
    assert job.code == 0, job.error
    check_curves(job, tmp_path / "run", "dqn")
    steps, frames = (job.values(f"runner/{what}_per_s") for what in ("env_steps", "frames"))
    assert frames[-1] == pytest.approx(4 * steps[-1]) and steps[-1] > 0
    assert job.values("replay/bytes")[-1] > 1000
    assert job.values("learner/updates_per_s")[-1] > 0
    assert -21 <= job.values("episode/return_mean")[-1] <= 21
    assert set(job.values("queue/depth")) == {0}


def test_dqn_with_actors_has_a_queue(head, tmp_path: Path):
    words = ["--env", "CartPole-v1", "--minutes", 0.2, "--run-dir", tmp_path / "run"]
    words += ["--num-env-runners", 1, "--num-cpus-per-replay-shard", 0.25]
    words += ["--eval-period-frames", 0]
    job = run_job(head, tmp_path, tmp_path / "run", "train", "dqn", *words, *SMALL_DQN)
    assert job.code == 0, job.error
    check_curves(job, tmp_path / "run", "dqn")
    assert max(job.values("queue/depth")) > 0
    assert set(job.values("faults/runner_restarts")) == {0}


def test_hdqn_has_its_goals_as_labels(head, tmp_path: Path):
    words = ["--env", "KeyDoor-v0", "--minutes", 0.2, "--phase1-frames", 600, "--hidden-size", 16]
    words += ["--max-goal-steps", 20, "--meta-learning-starts", 4, "--meta-batch-size", 8]
    words += ["--meta-replay-capacity", 1000, "--eval-period-frames", 0]
    words += ["--run-dir", tmp_path / "run"]
    job = run_job(head, tmp_path, tmp_path / "run", "train", "hdqn", *words, *SMALL_DQN)
    assert job.code == 0, job.error
    check_curves(job, tmp_path / "run", "hdqn")
    goals = {s.labels["goal"] for s in job.scrapes[-1] if s.name == "arcadia_goal_tried"}
    assert goals == set(RunFolder.open(tmp_path / "run").config["goals"]) and len(goals) > 1
    assert job.values("meta/updates_per_s")


def test_sequences(head, tmp_path: Path):
    words = ["--hidden-size", 12, "--max-length", 5, "--max-value", 3, "--batch-size", 8]
    words += ["--validation-examples", 50, "--validation-period", 500, "--seed", 1]
    words += ["--activation", "nan", "--anneal", "30:0.5", "--num-cpus-per-worker", 1]
    run = tmp_path / "läufe" / "eins"
    words += ["--steps", 1_000_000, "--minutes", 0.4, "--run-dir", run]
    job = run_job(head, tmp_path, run, "train", "sequence", *words)
    assert job.code == 0, job.error
    check_curves(job, run, "sequence")
    assert job.values("train/examples_per_s")[-1] > 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures of two classes, and two files that are none."""
    root = tmp_path_factory.mktemp("sources")
    for number in range(60):
        folder = root / ("warm", "cold")[number % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{number:02d}.png").write_bytes(encoded(colorful(seed=number), "PNG"))
    for number in range(2):
        (root / "warm" / f"broken{number}.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def preparation(head, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    """The sixty pictures made ready, and how that went."""
    out = tmp_path_factory.mktemp("data") / "ready"
    words = ["--size", 40, "--shard-images", 20, "--row-group-images", 10]
    job = run_job(head, out.parent, out, "places", "prepare", sources, out, *words)
    assert job.code == 0, job.error
    return out, job


def test_places_prepare(preparation: tuple[Path, Job]):
    _, job = preparation
    names = job.names("places")
    assert names >= {f"arcadia_{n}" for n in ("pictures_done", "pictures_rejected", "queue_depth")}
    assert job.values("pictures/done")[-1] == 62
    assert job.values("pictures/rejected")[-1] == 2
    assert job.values("queue/depth")[-1] == 0


def test_the_colorizer(head, preparation: tuple[Path, Job], tmp_path: Path):
    words = ["--image-size", 32, "--width", 0.05, "--batch-size", 16, "--optimizer", "adam"]
    words += ["--validation-period", 100, "--num-cpus-per-worker", 1, "--seed", 1]
    words += ["--data", preparation[0], "--run-dir", tmp_path / "run"]
    words += ["--steps", 1_000_000, "--minutes", 0.2]
    job = run_job(head, tmp_path, tmp_path / "run", "train", "colorizer", *words)
    assert job.code == 0, job.error
    check_curves(job, tmp_path / "run", "colorizer")
    assert job.values("train/images_per_s")[-1] > 0


def test_colorize(head, sources: Path, tmp_path: Path):
    torch.manual_seed(0)
    save_colorizer(Colorizer(5, width=0.1, image_size=32), tmp_path / "network.safetensors")
    words = ["--weights", tmp_path / "network.safetensors", "--output", tmp_path / "colored"]
    words += ["--run-dir", tmp_path / "run", "--seed", 1]
    job = run_job(head, tmp_path, tmp_path / "run", "colorize", sources, *words)
    assert job.code == 1 and "broken0.jpg" in job.error, job.error
    names = job.names("colorize")
    assert names >= {f"arcadia_{n}" for n in ("pictures_done", "pictures_rejected", "queue_depth")}
    assert job.values("pictures/done")[-1] == 60
    assert job.values("pictures/rejected")[-1] == 2
    assert job.values("queue/depth")[-1] == 0


def test_stylize(head, tmp_path: Path):
    write_image(tmp_path / "style.png", colorful(40, 56))
    with VideoWriter(tmp_path / "film.mp4", 25, crf=5) as video:
        for shot in range(2):
            for index in range(15):
                video.write(np.roll(colorful(32, 48, seed=shot), index, axis=1))
    words = ["--content-layers", "relu2_1", "--style-layers", "relu1_1", "relu2_1", "--seed", 1]
    words += ["--flow", "dis_medium", "--iterations-first", 3, "--iterations", 2]
    words += ["--num-workers", 1, "--num-cpus-per-worker", 1]
    words += ["--output", tmp_path / "out.mp4", "--run-dir", tmp_path / "run"]
    film, style = tmp_path / "film.mp4", tmp_path / "style.png"
    job = run_job(head, tmp_path, tmp_path / "run", "stylize", film, "--style", style, *words)
    assert job.code == 0, job.error
    names = job.names("stylize")
    assert names >= {"arcadia_video_frames_stylized", "arcadia_queue_depth"}
    assert job.values("video/frames_stylized")[-1] == 30
    assert job.values("queue/depth")[-1] == 0


def test_after_a_job_its_gauges_are_gone(head, preparation: tuple[Path, Job]):
    deadline = time.monotonic() + 30
    while samples := scraped(head.metrics):
        assert time.monotonic() < deadline, samples
        time.sleep(PERIOD_S)
