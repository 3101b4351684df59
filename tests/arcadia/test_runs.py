from __future__ import annotations

import dataclasses
import enum
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import arcadia
from arcadia.atomic import held_alone
from arcadia.errors import Incomplete, UserError
from arcadia.jsonable import jsonable
from arcadia.manifests import MANIFEST
from arcadia.runs import RunFolder, default_run_dir
from arcadia.storage import Storage


class Mode(enum.Enum):
    FAST = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    game: str = "pong"
    shape: tuple[int, int] = (84, 84)
    out: Path = Path("runs/x")
    mode: Mode = Mode.FAST


CONFIG = {"options": Options(), "lr": np.float32(0.5), "seeds": {3, 1, 2}}


def make_run(target: Storage | Path | str) -> RunFolder:
    return RunFolder.create(
        target, kind="dqn", config=CONFIG, seed=7, command=["arcadia", "train", "dqn"]
    )


def make_checkpoint(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "state").write_text(text)
    return folder


def test_a_run_tells_what_it_is(storage: Storage):
    make_run(storage)
    run = RunFolder.open(storage)
    assert (run.kind, run.seed, run.status, run.name) == ("dqn", 7, "running", "one")
    assert run.config == {
        "options": {"game": "pong", "shape": [84, 84], "out": "runs/x", "mode": "FAST"},
        "lr": 0.5,
        "seeds": [1, 2, 3],
    }
    info = run.info
    assert info["command"] == ["arcadia", "train", "dqn"]
    assert info["versions"]["arcadia"] == arcadia.__version__
    assert {"python", "ray", "torch", "numpy", "ale-py"} <= info["versions"].keys()
    assert info["machine"]["num_cpus"] >= 1
    assert datetime.fromisoformat(info["started"]).utcoffset() is not None
    keys = list(json.loads(run.read_bytes("config.json")))
    assert keys == sorted(keys)


def test_a_folder_that_holds_a_run_is_refused_and_stays(storage: Storage):
    make_run(storage).set_status("completed")
    with pytest.raises(UserError, match=r"one: already holds a run; go on with it by --resume"):
        make_run(storage)
    assert RunFolder.open(storage).status == "completed"


def test_a_status_has_its_time_and_adds_details(storage: Storage):
    run = make_run(storage)
    run.set_status("stopped", step=100, why="SIGTERM")
    assert run.status == "stopped" and run.info["ended"] is not None
    run.set_status("running", step=120)
    assert run.info["ended"] is None
    run.set_status("completed", mean_return=np.float64(3.5))
    info = RunFolder.open(storage).info
    assert [entry["status"] for entry in info["history"]] == [
        "running",
        "stopped",
        "running",
        "completed",
    ]
    assert info["details"] == {"step": 120, "why": "SIGTERM", "mean_return": 3.5}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), "failed"),
        (KeyboardInterrupt(), "stopped"),
        (Incomplete("", {}), "running"),
    ],
)
def test_how_a_block_ended_is_noted(tmp_path: Path, error: BaseException, status: str):
    run = make_run(tmp_path / "run")
    with pytest.raises(type(error)), run.noting_failure():
        raise error
    assert run.status == status


def test_what_fails_behind_the_end_leaves_the_status(tmp_path: Path):
    run = make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="late"), run.noting_failure():
        run.set_status("completed")
        raise ValueError("late")
    assert run.status == "completed"


def test_what_is_no_run_is_named_with_a_way_out(tmp_path: Path):
    make_run(tmp_path / "dqn-1")
    with pytest.raises(UserError, match=r'dqm-1: no such folder; did you mean "dqn-1"\?'):
        RunFolder.open(tmp_path / "dqm-1")
    with pytest.raises(UserError, match=r'is none itself; did you mean ".*dqn-1"\?'):
        RunFolder.open(tmp_path)
    (tmp_path / "dqn-1" / "tensorboard").mkdir()
    with pytest.raises(UserError, match=r"tensorboard: holds no run \(no run.json\)"):
        RunFolder.open(tmp_path / "dqn-1" / "tensorboard")
    with pytest.raises(UserError, match="is a file"):
        RunFolder.open(tmp_path / "dqn-1" / "run.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "does not describe a run"),
        ('{"kind": "dqn", "status": "running", "format": 99}', "newer Arcadia"),
    ],
)
def test_a_spoilt_run_file_is_told_in_one_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=rf"run\.json: .*{message}"):
        RunFolder.open(tmp_path)


def test_a_missing_address_holds_no_run(bucket: Storage):
    with pytest.raises(UserError, match="memory://bucket/runs/one: holds no run"):
        RunFolder.open(bucket)


def test_checkpoints_come_back_and_old_ones_go(storage: Storage, tmp_path: Path):
    run = make_run(storage)
    assert run.checkpoints() == []
    with pytest.raises(UserError, match="has no checkpoint yet"):
        run.find_checkpoint()
    for step in (5, 10, 1_234_567_890, 20):
        run.publish_checkpoint(make_checkpoint(tmp_path / "c", f"at {step}"), step, keep=3)
    assert run.checkpoints() == [10, 20, 1_234_567_890]
    latest, step = RunFolder.open(storage).find_checkpoint()
    assert (step, (latest / "state").read_text()) == (1_234_567_890, "at 1234567890")
    assert (run.checkpoint(10) / "state").read_text() == "at 10"
    with pytest.raises(UserError, match="checkpoints/000000005: nothing complete"):
        run.checkpoint(5)


def test_the_new_checkpoint_is_kept_even_when_a_later_step_exists(storage: Storage, tmp_path: Path):
    run = make_run(storage)
    run.publish_checkpoint(make_checkpoint(tmp_path / "c", "later"), 100)
    run.publish_checkpoint(make_checkpoint(tmp_path / "c", "earlier"), 50, keep=1)
    assert run.checkpoints() == [50]


def test_a_checkpoint_of_the_same_step_is_replaced(storage: Storage, tmp_path: Path):
    run = make_run(storage)
    for text in ("one", "two", "three"):
        run.publish_checkpoint(make_checkpoint(tmp_path / "c", text), 5, keep=2)
    latest, _ = run.find_checkpoint()
    assert (latest / "state").read_text() == "three"
    assert run.checkpoints() == [5]


def test_old_checkpoints_stay_when_the_new_one_cannot_be_written(objects, bucket, tmp_path: Path):
    run = make_run(bucket)
    run.publish_checkpoint(make_checkpoint(tmp_path / "c", "good"), 1, keep=1)
    objects.uploads_left = 1
    with pytest.raises(UserError, match="connection was reset"):
        run.publish_checkpoint(make_checkpoint(tmp_path / "c", "bad"), 2, keep=1)
    objects.uploads_left = None
    assert run.checkpoints() == [1]
    run.publish_checkpoint(make_checkpoint(tmp_path / "c", "next"), 3, keep=1)
    assert [name for name in bucket.list("checkpoints") if "000000002" in name] == []


@pytest.mark.parametrize(("step", "keep"), [(-1, None), (1, 0)])
def test_senseless_checkpoints_are_refused(tmp_path: Path, step: int, keep: int | None):
    run = make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="at least"):
        run.publish_checkpoint(make_checkpoint(tmp_path / "c", ""), step, keep)


def test_a_run_killed_while_its_status_changes_is_still_good(
    tmp_path: Path, killed_in: Callable[[str], None]
):
    make_run(tmp_path / "run")
    killed_in(
        "import os, signal\n"
        "from arcadia.runs import RunFolder\n"
        f"run = RunFolder.open({str(tmp_path / 'run')!r})\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run.set_status('completed')\n"
    )
    assert RunFolder.open(tmp_path / "run").status == "running"


def test_what_appends_locally_reaches_the_run(storage: Storage):
    run = make_run(storage)
    log = run.scratch("logs/out.txt")
    log.write_text("one\n")
    run.sync()
    assert run.read_bytes("logs/out.txt") == b"one\n"
    with open(log, "a") as file:
        file.write("two\n")
    run.sync()
    assert run.fetch("logs/out.txt").read_text() == "one\ntwo\n"


def test_a_resumed_run_appends_to_what_was_there(storage: Storage):
    first = make_run(storage)
    first.scratch("out.txt").write_text("one\n")
    first.scratch("logs").mkdir()
    (first.scratch("logs") / "a").write_text("a")
    first.sync()
    second = RunFolder.open(storage)
    with open(second.scratch("out.txt"), "a") as file:
        file.write("two\n")
    assert (second.scratch("logs") / "a").read_text() == "a"
    second.sync()
    assert RunFolder.open(storage).fetch("out.txt").read_text() == "one\ntwo\n"
    assert RunFolder.open(storage).fetch("logs").joinpath("a").read_text() == "a"


def test_only_what_changed_is_uploaded_again(objects, bucket: Storage):
    run = make_run(bucket)
    for name in ("a", "b"):
        run.scratch(name).write_text(name)
    run.sync()
    run.scratch("b").write_text("longer")
    objects.uploads_left = 1
    run.sync()
    assert run.read_bytes("b") == b"longer"


def test_default_folders_never_collide(tmp_path: Path):
    folders = [default_run_dir("dqn", tmp_path / "runs") for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.is_dir() and folder.name.startswith("dqn-20") for folder in folders)
    make_run(folders[3])


def test_values_become_json():
    def function() -> None: ...

    value = {
        1: (Path("a"), None, True, 2.5),
        "array": np.arange(3, dtype=np.int64),
        "dtype": np.dtype("float32"),
        "numbers": (np.float64(0.1), np.int64(3), np.bool_(True)),
        "class": Options,
        "function": function,
        "inf": math.inf,
    }
    plain = jsonable(value)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["1"] == ["a", None, True, 2.5]
    assert plain["array"] == [0, 1, 2]
    assert plain["dtype"] == "float32"
    assert plain["numbers"] == [0.1, 3, True]
    assert plain["class"].endswith(".Options")
    assert plain["function"].endswith("function")
    assert plain["inf"] == math.inf
    with pytest.raises(TypeError, match="a object cannot be written as JSON"):
        jsonable({"x": [object()]})


def test_the_commit_is_that_of_a_checkout(tmp_path: Path):
    package = tmp_path / "repo" / "arcadia"
    package.mkdir(parents=True)
    for file in Path(arcadia.__file__).parent.glob("*.py"):
        (package / file.name).write_bytes(file.read_bytes())
    code = "from arcadia.provenance import commit; print(commit())"
    env = {**os.environ, "PYTHONPATH": str(package.parent)}
    git = ["git", "-C", str(package.parent), "-c", "user.name=a", "-c", "user.email=a@b"]

    def commit() -> str:
        run = subprocess.run(
            [sys.executable, "-B", "-c", code], env=env, capture_output=True, check=True, text=True
        )
        return run.stdout.strip()

    subprocess.run([*git, "init", "-q"], check=True)
    assert commit() == "None", "nothing is tracked yet"
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    clean = commit()
    assert len(clean) == 40
    source = package / "provenance.py"
    source.write_text(source.read_text() + "\n")
    assert commit() == f"{clean}-dirty"


def test_importing_runs_brings_in_nothing_big():
    code = (
        "import sys, arcadia.errors, arcadia.runs\n"
        "big = {'ray', 'torch', 'numpy', 'pyarrow', 'PIL', 'av', 'matplotlib', 'rich'}\n"
        "assert not big & sys.modules.keys(), big & sys.modules.keys()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_a_checkpoint_that_was_damaged_since_is_told(storage: Storage, tmp_path: Path):
    run = RunFolder.create(storage, kind="dqn", config={}, seed=1)
    assert not run.has_checkpoint()
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "weights").write_bytes(b"123")
    run.publish_checkpoint(tmp_path / "local", 5)
    assert run.has_checkpoint()
    storage.write_bytes("checkpoints/000000005/weights", b"12")
    said = "has no whole checkpoint: checkpoints/000000005/weights has 2 bytes where 3 were written"
    for look in (run.has_checkpoint, run.find_checkpoint):
        with pytest.raises(UserError, match=said):
            look()
    storage.write_bytes(f"checkpoints/000000005/{MANIFEST}", b"no list")
    with pytest.raises(UserError, match=rf"checkpoints/000000005/{MANIFEST} is damaged"):
        run.has_checkpoint()


def test_a_place_that_can_hold_no_run_is_refused_beforehand(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    for place in ("file", "file/run", "file/a/b"):
        with pytest.raises(UserError, match=f"{place}: cannot write: Not a directory"):
            RunFolder.check_free(tmp_path / place)
    RunFolder.check_free(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": 5}, "kind is '5', which no run has"),
        ({"seed": "one"}, "seed is 'one', which no run has"),
        ({"seed": True}, "seed is 'True', which no run has"),
        ({"history": {}}, "history is '{}', which no run has"),
        ({"format": "1"}, "format is '1', which no run has"),
        ({"format": 2, "versions": []}, "written by a newer Arcadia"),
    ],
)
def test_what_no_run_has_is_refused_by_name(change: dict, said: str, tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=1)
    run.write_json("run.json", run.info | change)
    with pytest.raises(UserError, match=rf"run\.json: {said}"):
        RunFolder.open(tmp_path / "run")


def test_a_config_that_holds_no_options_is_refused(tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=1)
    run.write_text("config.json", "[1]")
    with pytest.raises(UserError, match=r"config\.json: does not hold options by their names"):
        RunFolder.open(tmp_path / "run")
    run.write_text("config.json", "[" * 100_000)
    with pytest.raises(UserError, match=r"config\.json: is not JSON: it is nested too deep"):
        RunFolder.open(tmp_path / "run")


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "other").write_text("what is mine")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="run: cannot lock"), held_alone(tmp_path / "run"):
        pass
    assert (tmp_path / "other").read_text() == "what is mine"
    (tmp_path / "run" / ".lock").unlink()
    with held_alone(tmp_path / "run"):
        with pytest.raises(UserError, match="another process is at work in it"):
            with held_alone(tmp_path / "run"):
                pass


def test_a_disk_that_is_read_only_is_told_beforehand(make_disk: Callable[[str], Path]):
    disk = make_disk("64k")
    remount = ["mount", "-o", "remount,ro", str(disk)]
    subprocess.run(remount, check=True, capture_output=True)
    with pytest.raises(UserError, match="new: cannot write: Read-only file system; ask for access"):
        RunFolder.check_free(disk / "new")
