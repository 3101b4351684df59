"""`arcadia train sequence`, `evaluate` and its sweep, in this process, with the tests' Ray."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arcadia.cli import main
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from tests.disks import fill_at_a_checkpoint
from tests.pipelines.commands import Done, call_with, kill_once_it_has_a_checkpoint
from tests.pipelines.sequences.test_images import parquet

pytestmark = pytest.mark.usefixtures("ray_session")

SMALL = ["--hidden-size", "12", "--max-length", "5", "--max-value", "3", "--batch-size", "8"]
SMALL += ["--validation-examples", "50", "--validation-period", "10", "--checkpoint-period", "10"]
SMALL += ["--num-cpus-per-worker", "1"]
NOISY = ["--activation", "nan", "--anneal", "30:0.5"]


@pytest.fixture
def call(capsys: Any) -> Callable[..., Done]:
    return lambda *words: call_with(capsys, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture
def trained(folder: Path, call: Any) -> Path:
    """A run of twenty steps, made once."""
    if not (folder / "run").exists():
        words = ["--run-dir", folder / "run", "--steps", 20, "--seed", 1, *NOISY, *SMALL]
        done = call("train", "sequence", *words)
        assert done.code == 0, done.error
        (folder / "done.json").write_text(json.dumps(done._asdict()))
    return folder / "run"


def test_a_network_is_trained_and_reported(trained: Path, folder: Path):
    done = Done(**json.loads((folder / "done.json").read_text()))
    result = done.result
    assert (result["run"], result["status"], result["steps"]) == (str(trained), "completed", 20)
    assert set(result["validation"]) == {"error", "loss"}
    assert result["best"] <= result["validation"]["error"] + 1e-6  # TensorBoard keeps float32
    assert result["examples_per_s"] > 0
    told = done.out.splitlines()
    assert told[0].startswith("unique integers, activation nan; 1,3")
    assert told[0].endswith("parameters; 1 worker (CPU, 1 thread)")
    assert told[1:-1] == [f"Run: {trained}", f"Report: {trained}/report.html"]
    run = RunFolder.open(trained)
    assert run.checkpoints() == [10, 20] and run.kind == "sequence"
    html = (trained / "report.html").read_text()
    assert "Unique integers, nan" in html and "c of the noisy activations" in html
    assert read_scalars(run)["train/noise_c"][1][-1] == 0.5


def test_a_task_brings_its_own_values(tmp_path: Path, call: Any):
    words = ["--task", "images", "--data", tmp_path / "some.parquet", "--steps", 2]
    parquet(tmp_path / "some.parquet", "abc" * 30)
    done = call("train", "sequence", *words, "--run-dir", tmp_path / "run", "--seed", 1)
    assert done.code == 0, done.error
    options = RunFolder.open(tmp_path / "run").config["options"]
    assert (options["hidden_size"], options["batch_size"], options["steps"]) == (256, 64, 2)
    assert "82 pictures of 3 classes to train on" in done.out


def test_runs_are_judged_by_the_same_examples(trained: Path, call: Any):
    found = []
    for _ in range(2):
        done = call("evaluate", trained, "--examples", 300)
        assert done.code == 0, done.error
        found.append(done.result["runs"][0])
    one, other = found
    assert one == other and one["step"] == 20 and one["activation"] == "nan"
    assert 0 <= one["figures"]["error"] <= 1
    assert "unique_integers" in done.out


def test_it_goes_on(trained: Path, tmp_path: Path, call: Any):
    words = ["--run-dir", tmp_path / "run", "--steps", 10, "--seed", 1, *SMALL]
    assert call("train", "sequence", *words, "--activation", "hard").code == 0
    done = call("train", "sequence", "--resume", tmp_path / "run", "--steps", 20)
    assert done.code == 0, done.error
    assert done.result["steps"] == 20
    done = call("train", "sequence", "--resume", trained)
    assert done.code == 0 and "All steps are done" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "40"], "steps 40: the run"),  # the noise falls over all of them
        (["--activation", "hard"], "anneal 30:0.5: activation hard has no noise"),
        (["--hidden-size", "13"], "hidden_size 13: the run"),
        (["--seed", "2"], "seed 2: the run"),
        (["--data", "text"], "data text: the run"),
    ],
)
def test_going_on_with_something_else_is_refused(
    trained: Path, call: Any, words: list[str], said: str
):
    done = call("train", "sequence", "--resume", trained, *words)
    assert done.code == 2 and said in done.error and done.error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "unique"], "--task"),
        (["--noise-c", "-1"], "noise_c -1.0: must be at least 0"),
        (["--noise-alpha", "0"], "noise_alpha 0.0: must be above 0"),
        (["--anneal", "0.5:30"], "anneal 0.5:30: rises; give the larger one first"),
        (["--anneal", "30"], 'anneal "30": give START:END, such as 30:0.5'),
        (["--anneal", "30:0.5", "--anneal-updates", "0"], "anneal_updates 0: must be at least 1"),
        (["--max-length", "100000"], "max_length 100000: must be from 1 to 10000"),
        (["--task", "language"], "data None: language needs a text file"),
        (["--task", "language", "--data", "EMPTY"], "holds no text"),
        (["--task", "language", "--data", "LATIN"], "is not UTF-8 (byte 3)"),
        (["--batch-size", "9", "--num-workers", "2"], "num_workers 2: cannot share a batch_size"),
        (["--resume", "/nowhere"], "/nowhere"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, call: Any, words: list[str], said: str):
    (tmp_path / "EMPTY").touch()
    (tmp_path / "LATIN").write_bytes(b"caf\xe9\n" * 9)
    words = [str(tmp_path / word) if (tmp_path / word).exists() else word for word in words]
    done = call("train", "sequence", *words, "--run-dir", tmp_path / "run")
    assert done.code == 2 and said in done.error
    assert done.error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_what_a_sequence_network_cannot_do_is_told(trained: Path, call: Any):
    for command in ("watch", "export"):
        done = call(command, trained)
        assert done.code == 2 and str(trained) in done.error


@pytest.mark.slow
def test_two_workers_learn_what_one_does(tmp_path: Path, call: Any):
    curves = []
    for number in (1, 2):
        words = ["--run-dir", tmp_path / f"run{number}", "--steps", 20, "--seed", 1, *SMALL]
        words += ["--activation", "hard", "--num-workers", number]
        done = call("train", "sequence", *words)
        assert done.code == 0, done.error
        curves.append(read_scalars(RunFolder.open(tmp_path / f"run{number}")))
    for name in ("train/loss", "train/gradient_norm", "validation/loss"):
        np.testing.assert_allclose(curves[1][name][1], curves[0][name][1], rtol=1e-4)


@pytest.mark.slow
def test_two_workers_remember_each_its_own_text(tmp_path: Path, call: Any):
    text = tmp_path / "text"
    text.write_text("one two three four five\n" * 60)
    words = ["--task", "language", "--data", text, "--activation", "hard", "--unroll", 4]
    words += ["--seed", 1, "--num-workers", 2, *SMALL]
    assert call("train", "sequence", *words, "--steps", 20, "--run-dir", tmp_path / "a").code == 0
    assert call("train", "sequence", *words, "--steps", 10, "--run-dir", tmp_path / "b").code == 0
    resume = ["--resume", tmp_path / "b", "--steps", 20, "--num-workers", 2]
    assert call("train", "sequence", *resume, "--num-cpus-per-worker", 1).code == 0
    losses = [read_scalars(RunFolder.open(tmp_path / n))["validation/loss"][1] for n in "ab"]
    assert losses[0].tolist() == losses[1].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["RayTrainWorker", "TrainController", "ray::Board"])
def test_whoever_is_killed_comes_back_and_the_training_is_the_straight_one(
    victim: str, tmp_path: Path, call: Any
):
    thread = kill_once_it_has_a_checkpoint(tmp_path / "run", victim)
    words = ["--steps", 1500, "--seed", 1, *NOISY, *SMALL]
    done = call("train", "sequence", *words, "--run-dir", tmp_path / "run")
    thread.join()
    assert done.code == 0, done.error
    # Without the board nobody knows for a moment how far it is; the workers go on.
    told = "Workers died (1 of 3 times that may be)" in done.out
    assert told == (victim != "ray::Board")
    assert call("train", "sequence", *words, "--run-dir", tmp_path / "straight").code == 0
    curves = [read_scalars(RunFolder.open(tmp_path / n))["train/loss"] for n in ("run", "straight")]
    np.testing.assert_array_equal(curves[0][1], curves[1][1])


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays_good(
    tmp_path: Path, make_disk, call: Any
):
    disk = make_disk("64m")
    thread = fill_at_a_checkpoint(disk, disk / "run")
    words = ["--run-dir", disk / "run", "--steps", 1_000_000, "--seed", 1, *SMALL]
    done = call("train", "sequence", *words, "--activation", "hard", "--max-failures", 1)
    thread.join()
    assert done.code == 2, done.error
    told = [line for line in done.error.splitlines() if not line.startswith("Training: ")]
    assert len(told) == 1 and "cannot write: No space left on device; free some" in told[0]
    assert told[0].startswith(f"arcadia: {disk}/run/")
    run = RunFolder.open(disk / "run")
    step = run.find_checkpoint()[1]
    (disk / "ballast").unlink()
    done = call("train", "sequence", "--resume", disk / "run", "--steps", step + 20)
    assert done.code == 0, done.error
    assert (done.result["steps"], run.status) == (step + 20, "completed")


SHRUNKEN = """
import dataclasses
from ray import tune
import tune_configs.noisy_sequences as whole

def sweep():
    space, tune_config = whole.sweep()
    parameters = space.parameters | {
        "variant": tune.grid_search(["hard", "nan 30:0.5"]),
        "repeat": tune.grid_search([0, 1]),
        "steps": 20,
    }
    return dataclasses.replace(space, parameters=parameters), tune_config
"""


@pytest.mark.slow
def test_the_sweep_compares_variants_over_seeds(tmp_path: Path, capsys: Any):
    file = tmp_path / "sweep.py"
    file.write_text(SHRUNKEN)
    code = main(["tune", str(file), "--run-dir", f"{tmp_path}/sweep", "--seed", "5", "--json"])
    out, error = capsys.readouterr()
    assert code == 0, error
    result = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert (result["trials"], result["failed"]) == (4, 0)
    groups = {group["parameters"]["variant"]: group for group in result["groups"]}
    assert set(groups) == {"hard", "nan 30:0.5"}
    for group in groups.values():
        assert group["trials"] == 2 and 0 < group["mean"] <= 1 and group["standard_error"] >= 0
    assert "±" in out and (tmp_path / "sweep" / "comparison.png").stat().st_size > 10_000
    seeds = {
        json.loads(path.read_text())["seed"]
        for path in (tmp_path / "sweep").glob("trial_*/run/run.json")
    }
    assert seeds == {5, 6}
