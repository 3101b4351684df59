"""The command line: help that is quick, errors of one line, JSON at the end."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arcadia.cli import COMMANDS, Command, main
from arcadia.runs import RunFolder

ROOT = Path(__file__).parents[2]


def test_help_imports_neither_ray_nor_torch_and_is_quick():
    code = (
        "import sys; from arcadia.cli import main; main(['--help']);"
        "print([m for m in ('ray', 'torch', 'numpy') if m in sys.modules])"
    )
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT / "platform", capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - start)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_common_options(name: str, capsys):
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert not end.value.code
    shown = capsys.readouterr().out
    for option in ("--run-dir", "--seed", "--address", "--json", "--debug"):
        assert option in shown


def test_help_of_training_shows_the_presets_own_defaults(capsys):
    def shown(*words: str) -> str:
        with pytest.raises(SystemExit):
            main(["train", "dqn", *words, "--help"])
        return " ".join(capsys.readouterr().out.split())

    assert "(default: 0.0002)" in shown()
    assert "(default: 0.00025)" in shown("--preset", "nips2013")
    assert "(default: 3)" in shown("--preset=nips2013", "--game=space_invaders")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["trian"], 'did you mean "train"?'),
        (["train", "dqm"], 'did you mean "dqn"?'),
        (["train", "dqn", "--gmae", "pong"], '--gmae: no such option; did you mean "--game"?'),
        (["train", "dqn", "--game", "pnog"], 'no such ROM; did you mean "pong"?'),
        (["train", "dqn"], "give --game"),
        (["train", "dqn", "--game", "pong", "--lr", "abc"], "--lr"),
        (["train", "dqn", "--game", "pong", "--lr", "-1"], "lr"),
        (["train", "dqn", "--game", "pong", "--gamma", "2"], "gamma 2.0: must be between 0 and 1"),
        (["train", "dqn", "--preset", "fats"], 'did you mean "fast"?'),
        (["train", "dqn", "--resume", "nowhere"], "nowhere: no such folder"),
        (["evaluate", "nowhere"], "nowhere: no such folder"),
        (["evaluate", str(ROOT / "docs")], "holds no run"),
        (["evaluate", "x", "--episodes", "0"], "episodes 0: must be at least 1"),
        (["evaluate"], "see arcadia evaluate --help"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["tune", "nowhere.py"], "nowhere.py: no such file"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(words: list[str], complaint: str, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert error.startswith("arcadia: ")
    assert "Traceback" not in error


def test_debug_shows_the_traceback(capsys):
    assert main(["evaluate", "nowhere", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_nobody_at_the_address_is_told_soon(capsys):
    # In a process of its own: this one may be connected to the tests' Ray.
    start = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "arcadia", "train", "dqn", "--game", "pong"),
            *("--address", "127.0.0.1:1", "--run-dir", "never"),
        ],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'address "127.0.0.1:1": no Ray answers there' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - start < 30
    assert not (ROOT / "never").exists()


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--env", "Pendulum-v1"], "DQN needs Discrete actions"),
        (["--game", "pong", "--num-gpus-per-learner", "64"], "the cluster has 0 GPUs"),
    ],
)
def test_what_only_the_job_can_see_is_one_line_too(words, complaint, tmp_path, capsys):
    assert main(["train", "dqn", *words, "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert complaint in error
    # Nothing was begun: the same folder can be used for the corrected command.
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_refused_at_once(tmp_path, capsys):
    RunFolder.create(tmp_path, kind="dqn", config={}, seed=1)
    start = time.monotonic()
    assert main(["train", "dqn", "--game", "pong", "--run-dir", str(tmp_path)]) == 2
    assert "already holds a run; go on with it by --resume" in capsys.readouterr().err
    assert time.monotonic() - start < 2


def test_a_failing_job_is_one_line_and_exits_with_one(monkeypatch, capsys):
    def fail(argv: list[str], prog: str) -> None:
        raise RuntimeError("the disk\nis on fire")

    monkeypatch.setitem(COMMANDS, "burn", Command("arcadia.cli:main", "burns"))
    monkeypatch.setattr(Command, "load", lambda self: fail)
    assert main(["burn"]) == 1
    error = capsys.readouterr().err
    assert error == "arcadia: RuntimeError: the disk is on fire (--debug shows where)\n"


def test_json_is_the_last_line(monkeypatch, capsys):
    def job(argv: list[str], prog: str) -> dict:
        print("words before")
        return {"score": 3}

    monkeypatch.setitem(COMMANDS, "job", Command("arcadia.cli:main", "a job"))
    monkeypatch.setattr(Command, "load", lambda self: job)
    assert main(["job", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"score": 3}
