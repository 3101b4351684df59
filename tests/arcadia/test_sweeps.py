"""Sweeps under way: resumed after a kill, stopped, with trials that fail, listened to."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from arcadia.cli import main
from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.sweep_record import COPY, is_cut_off, keep_record, restore_record
from arcadia.sweep_trials import read_sweep
from arcadia.tuning import Space, load_sweep
from tests.disks import fill

ROOT = Path(__file__).parents[2]

# Trials of a count that goes up, with a checkpoint at each: as light as trials get.
COUNTS = """
import time
from pathlib import Path
from ray import tune
from arcadia.trials import TrialReport, trial_run
from arcadia.tuning import Space

def trial(*, slope, seed, pause):
    run = trial_run(kind="count", config={{"slope": slope}}, seed=seed)
    done = int(run.find_checkpoint()[1]) if run.checkpoints() else 0
    report = TrialReport(run)
    folder = Path("{marks}")
    for step in range(done + 1, {steps} + 1):
        time.sleep(pause)
        source = folder / f"state-{{slope}}"
        source.mkdir(exist_ok=True)
        (source / "state").write_text(str(step))
        run.publish_checkpoint(source, step, keep=2)
        if step == 1:
            run.publish_checkpoint(source, step, shelf="best")
        with open(folder / f"steps-{{slope}}", "a") as file:
            print(step, file=file)
        if slope == {failing} and step == 2:
            raise RuntimeError("this slope is too steep")
        report(step, {{"height": slope * step}})

def sweep():
    space = Space(
        trainable=trial,
        parameters={{"slope": tune.grid_search([1, 2, 3]), "seed": 0, "pause": {pause}}},
        resources={{"cpu": 1}},
        compared_by=("slope",),
        time="step",
    )
    return space, tune.TuneConfig(metric="height", mode="max", num_samples=1{more})
"""


def counts(folder: Path, **values: Any) -> str:
    """A file with such a sweep."""
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    given = {"steps": 4, "failing": -1, "pause": 0, "more": "", "marks": marks} | values
    file = folder / "sweep.py"
    file.write_text(COUNTS.format(**given))
    return str(file)


def steps_of(folder: Path, slope: int) -> list[int]:
    return [int(line) for line in (folder / "marks" / f"steps-{slope}").read_text().split()]


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Any]:
    """Starts `arcadia tune` in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "arcadia", "tune", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
            child.wait()


def wait_for_steps(folder: Path, slope: int, number: int, child: subprocess.Popen[str]) -> None:
    for _ in range(600):
        assert child.poll() is None, child.communicate()
        has_begun = (folder / "marks" / f"steps-{slope}").exists()
        if has_begun and len(steps_of(folder, slope)) >= number:
            return
        time.sleep(0.1)
    raise TimeoutError(f"slope {slope} did not come to {number} steps")


@pytest.mark.slow
def test_a_sweep_whose_driver_was_killed_goes_on(tmp_path: Path, begun):
    file = counts(tmp_path, steps=12, pause=0.5)
    child = begun(file, "--run-dir", f"{tmp_path}/run", "--max-concurrent-trials", "2")
    wait_for_steps(tmp_path, 1, 6, child)
    time.sleep(11)  # Tune writes its state every ten seconds
    child.kill()
    child.wait()
    assert RunFolder.open(tmp_path / "run").status == "running"
    child = begun("--resume", f"{tmp_path}/run", "--json")
    out, error = child.communicate(timeout=180)
    assert child.returncode == 0, error
    result = json.loads(out.splitlines()[-1])
    assert (result["trials"], result["failed"], result["status"]) == (3, 0, "completed")
    assert result["best"]["value"] == 36 and result["best"]["parameters"] == {"slope": 3}
    for slope in (1, 2, 3):
        made = steps_of(tmp_path, slope)
        assert sorted(set(made)) == list(range(1, 13))  # none is left out,
        assert len(made) < 24  # and it did not begin anew
    assert RunFolder.open(tmp_path / "run").status == "completed"


@pytest.mark.slow
def test_a_sweep_that_is_asked_to_stop_says_how_to_go_on(tmp_path: Path, begun):
    file = counts(tmp_path, steps=40, pause=0.5)
    child = begun(file, "--run-dir", f"{tmp_path}/run", "--json")
    wait_for_steps(tmp_path, 1, 3, child)
    child.send_signal(signal.SIGTERM)
    out, error = child.communicate(timeout=120)
    assert child.returncode == 0, error
    assert f"Stopped; arcadia tune --resume {tmp_path}/run goes on" in out
    assert json.loads(out.splitlines()[-1])["status"] == "stopped"
    assert RunFolder.open(tmp_path / "run").status == "stopped"


@pytest.mark.slow
def test_a_full_disk_ends_a_sweep_in_one_line_and_with_room_it_goes_on(tmp_path, make_disk, begun):
    disk = make_disk("16m")
    file = counts(tmp_path, steps=12, pause=0.5)
    child = begun(file, "--run-dir", f"{disk}/run", "--max-concurrent-trials", "2")
    wait_for_steps(tmp_path, 1, 4, child)
    until = time.monotonic() + 60
    while not (disk / "run" / COPY).exists() and time.monotonic() < until:
        time.sleep(0.1)
    ballast = fill(disk)
    out, error = child.communicate(timeout=180)
    assert child.returncode in (1, 2), (out, error)
    last = error.splitlines()[-1]
    assert last.startswith(f"arcadia: {disk}/run")
    assert "No space left on device" in last or "as by a full disk" in last
    runs = [path.parent for path in (disk / "run").glob("trial_*/run/run.json")]
    assert runs
    for run in runs:
        assert RunFolder.open(run).find_checkpoint()[0].is_dir()

    ballast.unlink()
    child = begun("--resume", f"{disk}/run")
    out, error = child.communicate(timeout=240)
    assert child.returncode == 0, (out, error)
    assert RunFolder.open(disk / "run").status == "completed"
    assert "3 trials, 0 failed" in out


@pytest.mark.parametrize("damage", ["state", "searcher", "later"])
def test_a_record_that_is_cut_off_comes_back_from_the_copy(damage: str, tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", kind="tune", config={}, seed=None)
    assert not is_cut_off(run) and not restore_record(run), "there is no record"
    whole = {
        "experiment_state-1.json": b'{"trial_data": []}',
        "searcher-state-1.pkl": pickle.dumps({"drawn": [1, 2]}),
    }
    source = tmp_path / "source"
    source.mkdir()
    for name, data in whole.items():
        (source / name).write_bytes(data)
        run.write_bytes(name, data)
    assert not is_cut_off(run)
    keep_record(run, source)
    name = {"state": "experiment_state-1.json", "searcher": "searcher-state-1.pkl"}.get(damage)
    name = name or "experiment_state-2.json"
    run.write_bytes(name, (run.read_bytes(name) if run.exists(name) else b"{")[:-1])
    assert is_cut_off(run)
    (source / "experiment_state-1.json").write_bytes(b"{")
    keep_record(run, source)  # leaves the whole copy alone
    assert restore_record(run) and not is_cut_off(run)
    assert {n: run.read_bytes(n) for n in whole} == whole


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_failed_trials_are_told_and_tried_again_when_it_goes_on(tmp_path: Path, capsys):
    file = counts(tmp_path, failing=2)
    words = ["--run-dir", f"{tmp_path}/run", "--max-failures", "0", "--json"]
    assert main(["tune", file, *words]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert (result["trials"], result["failed"]) == (3, 1)
    assert "2 trials, 1 failed" in out
    assert "failed: slope=2: RuntimeError: this slope is too steep" in out.replace("\n", " ")
    assert {g["parameters"]["slope"]: g["mean"] for g in result["groups"]} == {3: 12.0, 1: 4.0}
    statuses = {trial.status for trial in read_sweep(Storage.at(tmp_path / "run")).trials}
    assert statuses == {"completed", "failed"}

    # The cause is mended: what it began with is what goes on.
    mended = (tmp_path / "run" / "sweep.py").read_text().replace("slope == 2", "slope == -1")
    (tmp_path / "run" / "sweep.py").write_text(mended)
    assert main(["tune", "--resume", f"{tmp_path}/run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["trials"], result["failed"]) == (3, 0)
    assert steps_of(tmp_path, 1) == [1, 2, 3, 4]  # what had ended is not done again
    trials = read_sweep(Storage.at(tmp_path / "run")).trials
    assert {trial.status for trial in trials} == {"completed"}  # error.txt is there still


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_trial_that_fails_once_comes_back_and_tensorboard_counts_steps(tmp_path: Path, capsys):
    more = ", max_concurrent_trials=1"
    file = counts(tmp_path, more=more)
    text = Path(file).read_text()
    once = 'slope == 2 and step == 3 and not (folder / "failed").exists()'
    text = text.replace(
        "if slope == -1 and step == 2:", f'if {once}:\n            (folder / "failed").touch()'
    )
    Path(file).write_text(text)
    assert main(["tune", file, "--run-dir", f"{tmp_path}/run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["failed"] == 0
    assert steps_of(tmp_path, 2) == [1, 2, 3, 3, 4]  # from its last report on
    best = RunFolder.open(result["best"]["checkpoint"])
    assert best.kind == "count" and best.checkpoints()[-1] == 4

    (folder,) = (tmp_path / "run").glob("trial_*slope=3*")
    events = EventAccumulator(str(folder)).Reload()
    heights = [(e.step, e.value) for e in events.Scalars("ray/tune/height")]
    assert heights == [(1, 3.0), (2, 6.0), (3, 9.0), (4, 12.0)]
    plugins = events.PluginTagToContent("hparams")
    assert "_hparams_/session_start_info" in plugins


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("scheduler", ["asha", "pbt"])
def test_schedulers_of_tune_work(scheduler: str, tmp_path: Path, capsys):
    made = {
        "asha": "ASHAScheduler(time_attr='step', grace_period=2, max_t=8, reduction_factor=2)",
        "pbt": "PopulationBasedTraining(time_attr='step', perturbation_interval=2, "
        "hyperparam_mutations={'slope': [1, 2, 3]}, quantile_fraction=0.34, "
        "resample_probability=1.0)",
    }[scheduler]
    file = counts(tmp_path, steps=8, pause=0.2, more=f", scheduler=schedulers.{made}")
    text = Path(file).read_text()
    text = text.replace("import tune\n", "import tune\nfrom ray.tune import schedulers\n", 1)
    Path(file).write_text(text)
    assert main(["tune", file, "--run-dir", f"{tmp_path}/run", "--json"]) == 0
    out = capsys.readouterr().out
    result = json.loads(out.splitlines()[-1])
    assert result["failed"] == 0
    assert result["best"]["value"] >= 16
    trials = read_sweep(Storage.at(tmp_path / "run")).trials
    assert {trial.status for trial in trials} == {"completed"}
    if scheduler == "asha":  # lesser slopes may end early
        assert trials[0].headline.figures["height"] == result["best"]["value"]
    else:  # all go to the end, whoever's steps they took over
        configs = [
            RunFolder.open(path.parent).config["slope"]
            for path in (tmp_path / "run").glob("trial_*/run/run.json")
        ]
        assert len(configs) == 3 and set(configs) <= {1, 2, 3}
        # Of whoever took another one over, the best is not what it was before.
        runs = [RunFolder.open(p.parent) for p in (tmp_path / "run").glob("trial_*/run/run.json")]
        assert max(run.find_checkpoint("best")[1] for run in runs) >= 2
        assert all(len(run.checkpoints("best")) == 1 for run in runs)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_optuna_searches_where_it_is_installed(tmp_path: Path, capsys):
    pytest.importorskip("optuna")
    more = ", search_alg=OptunaSearch(seed=1), max_concurrent_trials=1"
    file = counts(tmp_path, steps=1, more=more)
    text = Path(file).read_text().replace("grid_search([1, 2, 3])", "randint(1, 100)")
    text = text.replace("num_samples=1", "num_samples=4")
    text = text.replace(
        "import tune\n", "import tune\nfrom ray.tune.search.optuna import OptunaSearch\n", 1
    )
    Path(file).write_text(text)
    assert main(["tune", file, "--run-dir", f"{tmp_path}/run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["trials"], result["failed"]) == (4, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_mlflow_gets_the_trials_where_it_is_installed(tmp_path: Path, capsys, monkeypatch):
    mlflow: Any = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy", reason="MLflow's store of the test's own is SQLite")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    file = counts(tmp_path)
    words = ["--run-dir", f"{tmp_path}/run", "--mlflow", "heights", "--json"]
    assert main(["tune", file, *words]) == 0
    capsys.readouterr()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["heights"], output_format="list")
    assert sorted(run.data.metrics["height"] for run in runs) == [4, 8, 12]


@pytest.mark.slow
def test_weights_and_biases_gets_the_trials_where_it_is_installed(
    tmp_path: Path, begun: Any, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("wandb")
    # An actor of Ray's writes them, in the environment in which Ray was started.
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    words = ["--run-dir", f"{tmp_path}/run", "--wandb", "heights", "--json"]
    out, error = begun(counts(tmp_path), *words).communicate(timeout=240)
    assert json.loads(out.splitlines()[-1])["failed"] == 0, error
    written = list(tmp_path.rglob("offline-run-*/*.wandb"))
    assert len(written) == 3 and all(b"height" in path.read_bytes() for path in written)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "FILE: give the Python file of a sweep, or --resume RUN"),
        (["--max-failures", "-1", "x.py"], "max_failures -1: must be at least 0"),
        (["--checkpoint-period", "0", "x.py"], "checkpoint_period 0: must be at least 1"),
        (["--resume", "nowhere"], "nowhere: no such folder"),
        (["x.py", "--resume", "nowhere"], "file x.py: a sweep that goes on keeps what it began"),
        (["--resume", "a", "--num-samples", "3"], "num_samples 3: a sweep that goes on keeps"),
    ],
)
def test_mistakes_are_one_line(words: list[str], complaint: str, capsys):
    assert main(["tune", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.splitlines()) == 1


def test_a_run_that_is_no_sweep_or_has_no_trial_is_not_gone_on_with(tmp_path: Path, capsys):
    RunFolder.create(tmp_path / "dqn", kind="dqn", config={}, seed=1)
    RunFolder.create(tmp_path / "empty", kind="tune", config={"file": "x.py"}, seed=1)
    assert main(["tune", "--resume", f"{tmp_path}/dqn"]) == 2
    assert 'is a run of the kind "dqn", no sweep' in capsys.readouterr().err
    assert main(["tune", "--resume", f"{tmp_path}/empty"]) == 2
    assert "was stopped before its first trial" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_missing_package_is_told_before_anything_starts(
    package: str, tmp_path, capsys, monkeypatch
):
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == package else find_spec(name, *a),
    )
    words = [counts(tmp_path), f"--{package}", "mine", "--run-dir", f"{tmp_path}/run"]
    assert main(["tune", *words]) == 2
    error = capsys.readouterr().err
    assert f'{package} "mine": the package {package} is not installed; in Arcadia' in error
    assert not (tmp_path / "run").exists()


def trial(*, slope: float, seed: int = 0) -> None:
    """What the spaces below are checked against."""


@pytest.mark.parametrize(
    ("parameters", "compared_by", "complaint"),
    [
        (
            {"slop": 1},
            (),
            'parameter "slop": trial() takes none of that name; did you mean "slope"?',
        ),
        ({"seed": 1}, (), "parameters: trial() has missing a required argument: 'slope'"),
        ({"slope": 1}, ("slap",), 'compared_by "slap": there is no such parameter'),
    ],
)
def test_a_misspelt_parameter_is_an_error_where_the_space_is_made(
    parameters: dict[str, Any], compared_by: tuple[str, ...], complaint: str
):
    with pytest.raises(UserError) as error:
        Space(trainable=trial, parameters=parameters, compared_by=compared_by)
    assert complaint in str(error.value)


def test_a_seed_that_trials_do_not_take_is_told(tmp_path: Path, capsys):
    text = Path(counts(tmp_path)).read_text()
    text = text.replace("slope, seed, pause", "slope, pause").replace("seed=seed", "seed=0")
    Path(tmp_path / "sweep.py").write_text(text.replace('"seed": 0, ', ""))
    words = ["--seed", "3", "--run-dir", f"{tmp_path}/run"]
    assert main(["tune", f"{tmp_path}/sweep.py", *words]) == 2
    assert 'seed 3: the file\'s parameters have no "seed"' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["dqn_pong", "dqn_seven_games", "hdqn_chain", "noisy_sequences"])
def test_files_of_the_repository_load(name: str):
    space, tune_config = load_sweep(str(ROOT / "tune_configs" / f"{name}.py"))
    assert tune_config.metric and tune_config.mode
    if name == "dqn_seven_games":
        assert len(space.game["grid_search"]) == 7  # type: ignore[union-attr]
