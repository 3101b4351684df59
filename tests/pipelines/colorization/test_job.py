"""`arcadia train colorizer` and `arcadia evaluate`, in this process, with the tests' Ray."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.colorization import load_colorizer
from pipelines.colorization.checkpoints import COLORIZER
from tests.disks import fill_at_a_checkpoint
from tests.pipelines.commands import Done, call_with, kill_once_it_has_a_checkpoint

pytestmark = pytest.mark.usefixtures("ray_session")

SMALL = ["--image-size", "32", "--width", "0.05", "--batch-size", "16", "--optimizer", "adam"]
SMALL += ["--validation-period", "10", "--checkpoint-period", "10", "--num-cpus-per-worker", "1"]


@pytest.fixture
def call(capsys) -> Callable[..., Done]:
    return lambda *words: call_with(capsys, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture
def trained(folder: Path, ready: Path, call) -> Path:
    """A run of twenty steps, made once."""
    if not (folder / "run").exists():
        words = ["--data", ready, "--run-dir", folder / "run", "--steps", 20, "--seed", 1]
        done = call("train", "colorizer", *words, *SMALL)
        assert done.code == 0, done.error
        (folder / "done.json").write_text(json.dumps(done._asdict()))
    return folder / "run"


def test_a_network_is_trained_and_reported(trained: Path, folder: Path):
    done = Done(**json.loads((folder / "done.json").read_text()))
    result = done.result
    assert (result["run"], result["status"], result["steps"]) == (str(trained), "completed", 20)
    assert {"ab_mse", "psnr", "ssim", "colorfulness", "top1"} <= set(result["validation"])
    assert result["best"] > 0 and result["images_per_s"] > 0 and result["epochs"] > 3
    told = done.out.splitlines()
    assert told[0] == (
        "92 pictures of 2 classes to train on, 8 to judge by; 5 steps an epoch; 1 worker "
        "(CPU, 1 thread)"
    )
    assert told[1:-1] == [f"Run: {trained}", f"Report: {trained}/report.html"]
    assert "Training: 20/20 steps (100%)" in done.error
    assert all(line.startswith("Training: ") for line in done.error.splitlines())
    run = RunFolder.open(trained)
    assert run.checkpoints() == [10, 20] and run.seed == 1
    html = (trained / "report.html").read_text()
    assert "Grey, predicted, truth" in html and "Top-1" in html
    assert not (trained / "ray_train").exists()


def test_it_is_judged_beside_grey_and_the_mean_colour(trained: Path, ready: Path, call):
    done = call("evaluate", trained, "--data", ready, "--images", 40)
    assert done.code == 0, done.error
    (own,) = done.result["runs"]
    assert done.result["images"] == 40 and own["step"] == 20
    assert own["mean_color"]["ab_mse"] < done.result["grey"]["ab_mse"]
    assert done.result["grey"]["colorfulness"] < 1 < done.result["truth"]["colorfulness"]
    assert 0 <= own["top1"] <= own["top5"] == 1
    assert json.loads((trained / "evaluation.json").read_text())["images"] == 40
    for shown in ("grey", "mean colour", "step 20", "truth", "ab-MSE", "top-1"):
        assert shown in done.out


def test_it_goes_on(trained: Path, call):
    done = call("train", "colorizer", "--resume", trained, "--steps", 24)
    assert done.code == 0, done.error
    assert (done.result["steps"], done.result["status"]) == (24, "completed")
    assert "which goes on where it was" in done.out
    again = call("train", "colorizer", "--resume", trained, "--steps", 24)
    assert again.code == 0 and "All steps are done" in again.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--width", "0.1"], "width 0.1: the run"),
        (["--alpha", "1"], "alpha 1.0: the run"),
        (["--seed", "2"], "seed 2: the run"),
        (["--data", "elsewhere"], "data elsewhere: the run"),
        (["--weights", "elsewhere"], "weights elsewhere: the run"),
        (["--num-workers", "3"], "num_workers 3: the run reads its pictures in 8 streams"),
    ],
)
def test_a_run_goes_on_with_its_own_options(trained: Path, call, words, complaint):
    done = call("train", "colorizer", "--resume", trained, *words)
    assert done.code == 2
    assert done.error.startswith(f"arcadia: {complaint}") and "Traceback" not in done.error


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "data: give --data with pictures that arcadia places prepare made ready"),
        (["--data", "nowhere"], "nowhere: holds no prepared data"),
        (["--data", "READY", "--image-size", "64"], "image_size 64: the prepared pictures are 40"),
        (["--data", "READY", "--image-size", "33"], "image_size 33: must be a multiple of 32"),
        (["--data", "READY", "--batch-size", "512"], "batch_size 512: there are"),
        (["--data", "READY", "--batch-size", "9", "--num-workers", "2"], "batch_size 9: must be a"),
        (["--data", "READY", "--num-gpus-per-worker", "1"], "num_gpus_per_worker 1: the cluster"),
        (["--data", "READY", "--optimizer", "adm"], "invalid choice"),
        (["--data", "READY", "--steps", "0"], "steps 0: must be at least 1"),
        (["--data", "READY", "--stepps", "3"], "--stepps: no such option; did you mean"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, ready, call, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    named = [str(ready) if word == "READY" else word for word in words]
    done = call("train", "colorizer", "--image-size", "32", *named)
    assert done.code == 2
    assert complaint in done.error and done.error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_validation_may_not_be_smaller_than_the_square(
    tmp_path: Path, ready: Path, call
):
    small = tmp_path / "small"
    words = ["--size", "24", "--row-group-images", "8"]
    assert main(["places", "prepare", str(ready.parent / ready.name[:-6]), str(small), *words]) == 0
    words = ["--image-size", "32", "--run-dir", tmp_path / "run", "--validation", small]
    done = call("train", "colorizer", "--data", ready, *words)
    assert done.code == 2 and not (tmp_path / "run").exists()
    assert "image_size 32: the pictures of validation are 24 x 24" in done.error


def test_pictures_of_any_size_are_judged(trained: Path, ready: Path, tmp_path: Path, call):
    odd = tmp_path / "odd"
    words = ["--size", "37", "--row-group-images", "8"]
    assert main(["places", "prepare", str(ready.parent / ready.name[:-6]), str(odd), *words]) == 0
    done = call("evaluate", trained, "--data", odd, "--images", 16)
    assert done.code == 0, done.error
    assert 0 <= done.result["runs"][0]["top1"] <= 1


def test_evaluation_names_what_is_missing(trained: Path, ready: Path, tmp_path: Path, call):
    assert "data: give --data" in call("evaluate", trained).error
    assert "nowhere: holds no prepared data" in call("evaluate", trained, "--data", "nowhere").error
    empty = RunFolder.create(tmp_path / "empty", kind="colorizer", config={}, seed=1)
    done = call("evaluate", empty.path, "--data", ready)
    assert done.code == 2 and "has no checkpoint yet; train for longer" in done.error


@pytest.mark.slow
def test_without_labels_only_colours_are_learnt(prepare, tmp_path: Path, call):
    ready = prepare(40, names=())
    words = ["--data", ready, "--run-dir", tmp_path / "run", "--steps", 3, "--seed", 1]
    done = call("train", "colorizer", *words, *SMALL)
    assert done.code == 0, done.error
    assert "no labels: the network is trained without a classifier" in done.out
    assert "top1" not in done.result["validation"]


@pytest.mark.slow
def test_one_class_is_told_and_trained_on(prepare, tmp_path: Path, call):
    ready = prepare(40, names=("warm",))
    words = ["--data", ready, "--run-dir", tmp_path / "run", "--steps", 2, "--seed", 1]
    done = call("train", "colorizer", *words, *SMALL)
    assert done.code == 0, done.error
    assert "There is one class alone, from which a classifier learns nothing" in done.out
    assert done.result["validation"]["top1"] == 1


def weights_of(run: Path) -> Path:
    return RunFolder.open(str(run)).find_checkpoint()[0] / COLORIZER


@pytest.mark.slow
def test_a_network_is_what_another_run_begins_with(trained: Path, ready, prepare, tmp_path, call):
    words = ["--data", ready, "--run-dir", tmp_path / "run", "--steps", 1, "--seed", 5]
    words += ["--weights", weights_of(trained), "--freeze-batch-norm", "--learning-rate", 1e-9]
    done = call("train", "colorizer", *words, *SMALL)
    assert done.code == 0, done.error
    was, now = (load_colorizer(weights_of(run)) for run in (trained, tmp_path / "run"))
    for before, after in zip(was.parameters(), now.parameters(), strict=True):
        np.testing.assert_allclose(after.detach(), before.detach(), atol=1e-7)

    # Of other classes, of another width.
    other = prepare(24, names=("a", "b", "c"))
    words = ["--data", other, "--run-dir", tmp_path / "other", "--steps", 1, "--seed", 5]
    done = call("train", "colorizer", *words, *SMALL, "--weights", weights_of(trained))
    assert done.code == 0, done.error
    assert "knows other classes: the classifier is a new one" in done.out
    assert load_colorizer(weights_of(tmp_path / "other")).num_classes == 3
    wide = ["--image-size", 32, "--width", 0.1, "--weights", weights_of(trained)]
    wrong = call("train", "colorizer", "--data", ready, *wide)
    assert wrong.code == 2 and "a network of width 0.05, and 0.1 is wanted" in wrong.error


@pytest.mark.slow
def test_pictures_that_were_prepared_again_are_refused(prepare, tmp_path: Path, call):
    ready = prepare(24)
    words = ["--data", ready, "--run-dir", tmp_path / "run", "--steps", 1, "--seed", 1]
    assert call("train", "colorizer", *words, *SMALL).code == 0
    shutil.rmtree(ready)
    shutil.copytree(prepare(32), ready)
    done = call("train", "colorizer", "--resume", tmp_path / "run", "--steps", 2)
    assert done.code == 2 and "was prepared again since" in done.error


@pytest.mark.slow
def test_two_workers_learn_what_one_with_twice_the_batch_does(
    trained: Path, ready: Path, tmp_path: Path, call
):
    curves = []
    for number in (1, 2):
        words = ["--data", ready, "--run-dir", tmp_path / f"run{number}", "--steps", 20]
        words += ["--seed", 1, "--freeze-batch-norm", "--num-workers", number]
        words += ["--weights", weights_of(trained)]  # whose batch normalisation knows the pictures
        done = call("train", "colorizer", *words, *SMALL)
        assert done.code == 0, done.error
        history = read_scalars(RunFolder.open(tmp_path / f"run{number}"))
        curves.append(
            np.concatenate([history[f"train/{n}loss"][1] for n in ("", "color_", "class_")])
        )
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4)


@pytest.mark.slow
def test_a_killed_worker_comes_back_from_the_last_checkpoint(ready, tmp_path: Path, call):
    thread = kill_once_it_has_a_checkpoint(tmp_path / "run")
    words = ["--data", ready, "--run-dir", tmp_path / "run", "--steps", 400, "--seed", 1]
    done = call("train", "colorizer", *words, *SMALL)
    thread.join()
    assert done.code == 0, done.error
    assert done.result["steps"] == 400 and done.result["status"] == "completed"
    assert "Workers died (1 of 3 times that may be)" in done.out
    straight = ["--data", ready, "--run-dir", tmp_path / "straight", "--steps", 400, "--seed", 1]
    assert call("train", "colorizer", *straight, *SMALL).code == 0
    curves = [read_scalars(RunFolder.open(tmp_path / n))["train/loss"] for n in ("run", "straight")]
    np.testing.assert_array_equal(curves[0][1], curves[1][1])


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays_good(
    ready: Path, tmp_path: Path, make_disk, call
):
    disk = make_disk("64m")
    thread = fill_at_a_checkpoint(disk, disk / "run")
    words = ["--data", ready, "--run-dir", disk / "run", "--steps", 1_000_000, "--seed", 1, *SMALL]
    done = call("train", "colorizer", *words, "--max-failures", 1)
    thread.join()
    assert done.code == 2, done.error
    told = [line for line in done.error.splitlines() if not line.startswith("Training: ")]
    assert len(told) == 1 and "cannot write: No space left on device; free some" in told[0]
    assert told[0].startswith(f"arcadia: {disk}/run/")
    run = RunFolder.open(disk / "run")
    step = run.find_checkpoint()[1]
    (disk / "ballast").unlink()
    done = call("train", "colorizer", "--resume", disk / "run", "--steps", step + 20)
    assert done.code == 0, done.error
    assert (done.result["steps"], run.status) == (step + 20, "completed")
