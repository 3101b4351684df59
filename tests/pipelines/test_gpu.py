"""Pipelines on a GPU: what a CPU computes, in full and in narrow precision, resumed and killed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arcadia.demo import ASSETS
from arcadia.media import probe, read_image, write_image
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.stylization.pages import records_of
from pipelines.stylization.plan import VideoPlan
from tests.pipelines.commands import Done, call_with, kill_once_it_has_a_checkpoint
from tests.pipelines.pictures import colorful, make_film, make_pictures

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("ray_session")]

ON_CPU = "--num-gpus-per-worker 0 --num-cpus-per-worker 2"
COLORIZER = "--width 0.1 --image-size 32 --batch-size 16 --optimizer sgd --seed 1"
SEQUENCE = "--activation nan --hidden-size 16 --batch-size 16 --seed 1"
PERIODS = "--validation-period 10 --checkpoint-period 10"
PAINTING = "--preset draft --size 96 --iterations 20 --iterations-first 40 --seed 1"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[[str], Done]:
    """Runs a command that succeeds."""

    def run(words: str) -> Done:
        done = call_with(capsys, *words.split())
        assert done.code == 0, done.error
        return done

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in `photos`, a `film.mp4` and a `style.png`."""
    made = tmp_path_factory.mktemp("gpu")
    make_pictures(made / "photos", 64)
    make_film(made / "film.mp4", 8)
    write_image(made / "style.png", colorful(64, 64, seed=9))
    return made


@pytest.fixture
def ready(folder: Path, call: Callable[[str], Done]) -> Path:
    if not (folder / "data").exists():
        words = "--size 48 --keep-grey --row-group-images 8"
        call(f"places prepare {folder}/photos {folder}/data {words}")
    return folder / "data"


def losses(run: Path) -> np.ndarray:
    return read_scalars(RunFolder.open(run))["train/loss"][1]


def test_a_colorizer_learns_what_it_learns_on_a_cpu(
    ready: Path, tmp_path: Path, call: Callable[[str], Done]
):
    train = f"train colorizer --data {ready} {COLORIZER} {PERIODS}"
    call(f"{train} --steps 20 --run-dir {tmp_path}/cpu {ON_CPU}")
    done = call(f"{train} --steps 20 --run-dir {tmp_path}/gpu --precision float32")
    assert "1 worker (GPU)" in done.out
    assert losses(tmp_path / "gpu") == pytest.approx(losses(tmp_path / "cpu"), rel=0.02)
    call(f"{train} --steps 20 --run-dir {tmp_path}/narrow --precision auto")
    assert losses(tmp_path / "narrow") == pytest.approx(losses(tmp_path / "cpu"), rel=0.1)


def test_a_training_is_resumed(ready: Path, tmp_path: Path, call: Callable[[str], Done]):
    train = f"train colorizer --data {ready} {COLORIZER} {PERIODS} --ema-decay 0.9"
    call(f"{train} --steps 20 --run-dir {tmp_path}/run")
    done = call(f"train colorizer --resume {tmp_path}/run --steps 40")
    assert done.result["steps"] == 40 and np.isfinite(done.result["validation"]["ab_mse"])
    judged = call(f"evaluate {tmp_path}/run --data {ready} --images 20").result
    assert np.isfinite(judged["runs"][0]["ab_mse"])


def test_a_sequence_network_learns_what_it_learns_on_a_cpu(
    tmp_path: Path, call: Callable[[str], Done]
):
    train = f"train sequence {SEQUENCE.replace('nan', 'hard')} {PERIODS} --steps 20"
    call(f"{train} --run-dir {tmp_path}/cpu {ON_CPU}")
    call(f"{train} --run-dir {tmp_path}/gpu --precision float32")
    assert losses(tmp_path / "gpu") == pytest.approx(losses(tmp_path / "cpu"), rel=0.02)


def test_a_killed_worker_comes_back(tmp_path: Path, call: Callable[[str], Done]):
    killer = kill_once_it_has_a_checkpoint(tmp_path / "run")
    done = call(f"train sequence {SEQUENCE} {PERIODS} --steps 1500 --run-dir {tmp_path}/run")
    killer.join()
    assert done.result["steps"] == 1500
    assert "Workers died (1 of 3 times that may be)" in done.out


@pytest.mark.parametrize("task", ["associative_recall", "execute"])
def test_other_tasks_learn_there(task: str, tmp_path: Path, call: Callable[[str], Done]):
    words = f"--task {task} --batch-size 8 --steps 4 --validation-examples 16"
    done = call(f"train sequence {words} --run-dir {tmp_path}/run --seed 1")
    assert np.isfinite(done.result["validation"]["loss"])


def test_photographs_and_a_film_are_coloured_as_on_a_cpu(
    folder: Path, tmp_path: Path, call: Callable[[str], Done]
):
    words = f"colorize {folder}/photos/one {folder}/film.mp4 --smoothing 0.8"
    words += f" --weights {ASSETS}/colorizer.safetensors"
    call(f"{words} --run-dir {tmp_path}/c --output {tmp_path}/cpu {ON_CPU}")
    for precision, most in (("float32", 0.5), ("auto", 3)):
        there = tmp_path / precision
        call(f"{words} --precision {precision} --run-dir {there}-run --output {there}")
        pictures = sorted(path.name for path in there.rglob("*.png"))
        assert len(pictures) == 32
        for path in there.rglob("*.png"):
            own = read_image(path).astype(int)
            twin = read_image(tmp_path / "cpu" / path.relative_to(there))
            assert np.abs(own - twin).mean() < most, path
        assert probe(there / "film-color.mp4").num_frames == 8


@pytest.mark.parametrize("more", ["", "--tile 64", "--passes 2", "--optimiser adam"])
def test_a_film_is_painted_as_on_a_cpu(
    more: str, folder: Path, tmp_path: Path, call: Callable[[str], Done]
):
    found = []
    words = f"stylize {folder}/film.mp4 --style {folder}/style.png {PAINTING} {more}"
    for name, where in (
        ("cpu", ON_CPU),
        ("gpu", "--precision float32"),
        ("narrow", "--precision auto"),
    ):
        out = tmp_path / f"{name}.mp4"
        done = call(f"{words} --run-dir {tmp_path}/{name} --output {out} {where}")
        passes = 2 if "passes" in more else 1
        assert done.result["frames_painted"] == 8 * passes and done.result["problems"] == []
        assert probe(out).num_frames == 8
        run = RunFolder.open(tmp_path / name)
        records = records_of(run, VideoPlan.load(run.storage, "film"))
        found.append([record["losses"]["total"] for record in records])
    assert found[1] == pytest.approx(found[0], rel=0.1)
    # Another search, from noise, in eight bits: a CPU's bfloat16 ends up to a third higher.
    assert np.mean(found[2]) < 1.5 * np.mean(found[0])
