"""The command line: help that is quick, errors of one line, JSON at the end."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from algorithms.dqn import DQNOptions
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


def test_help_of_training_shows_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["train", "dqn", "--help"])
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    for field in dataclasses.fields(DQNOptions):
        flag = f"--{field.name.replace('_', '-')}"
        # As it begins an entry, and up to the first default after it.
        entry = re.search(rf" {flag}(?: |, --no).*?\(default: (.*?)\)", text)
        assert entry is not None, flag
        assert entry[1] == str(field.default), flag


def test_a_group_lists_its_commands(capsys):
    assert main(["train"]) == 0
    out = capsys.readouterr().out
    assert "arcadia train dqn" in out
    assert "arcadia watch" not in out


def test_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"arcadia \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["trian"], 'did you mean "train"?'),
        (["--verison"], 'did you mean "--version"?'),
        (["xyzzy"], '"xyzzy": no such command; see arcadia --help'),
        (["train", "dqm"], 'did you mean "dqn"?'),
        (["train", "xyzzy"], '"xyzzy": nothing of that name; there is dqn'),
        (["train", "dqn", "pong"], "pong; see arcadia train dqn --help"),
        (["train", "dqn", "--game"], "'--game'"),
        (["train", "dqn", "--game", "pong", "--network", "natrue2015"], "nature2015"),
        (["train", "dqn", "--game", "pong", "--batch-size", "1.5"], "--batch-size"),
        (["train", "dqn", "--game", "pong", "--seed", "-1"], "seed -1: must be at least 0"),
        (["train", "dqn", "--game", "pong", "--env", "CartPole-v1"], "give one of the two"),
        (["train", "dqn", "--gmae", "pong"], '--gmae: no such option; did you mean "--game"?'),
        (["train", "dqn", "--game", "pnog"], 'no such ROM; did you mean "pong"?'),
        (["train", "dqn"], "give --game"),
        (["train", "dqn", "--game", "pong", "--lr", "abc"], "--lr"),
        (["train", "dqn", "--game", "pong", "--lr", "-1"], "lr"),
        (["train", "dqn", "--env", "CartPoel-v1"], 'did you mean "CartPole-v1"?'),
        (["train", "dqn", "--env", "ALE/Pong-v5"], 'such as game="pong"'),
        (["train", "dqn", "--game", "pong", "--minutes", "-1"], "minutes -1.0: must be a finite"),
        (["train", "dqn", "--game", "pong", "--minutes", "nan"], "minutes nan: must be a finite"),
        (
            ["train", "dqn", "--game", "pong", "--checkpoint-minutes", "-1"],
            "checkpoint_minutes -1.0: must be a finite",
        ),
        (["train", "dqn", "--game", "pong", "--gamma", "2"], "gamma 2.0: must be between 0 and 1"),
        (["train", "dqn", "--preset", "fats"], 'did you mean "fast"?'),
        (["train", "dqn", "--resume", "nowhere"], "nowhere: no such folder"),
        (["evaluate", "nowhere"], "nowhere: no such folder"),
        (["evaluate", str(ROOT / "docs")], "holds no run"),
        (["evaluate", "x", "--episodes", "0"], "arcadia: episodes 0: must be at least 1"),
        (["evaluate", "x", "--epsilon", "2"], "epsilon 2.0: must be between 0 and 1"),
        (["evaluate", "x", "--num-envs", "0"], "num_envs 0: must be at least 1"),
        (["evaluate", "x", "--seed", "-1"], "seed -1: must be at least 0"),
        (["watch", "x", "--max-seconds", "0"], "max_seconds 0.0: must be above 0"),
        (["watch", "x", "--seed", "-1"], "seed -1: must be at least 0"),
        (["watch", "nowhere"], "nowhere: no such folder"),
        (["evaluate"], "see arcadia evaluate --help"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["tune", "nowhere.py"], "nowhere.py: no such file"),
        (["tune", "x.py", "--num-samples", "0"], "num_samples 0: must be at least 1"),
        (["tune", "x.py", "--num-samples", "-1"], "num_samples -1: must be at least 1"),
        (["tune", "x.py", "--max-concurrent-trials", "0"], "must be at least 1"),
        (["demo", "--episodes", "0"], "episodes 0: must be at least 1"),
        (["demo", "--minutes", "0"], "minutes 0.0: must be a finite number above 0"),
        (["demo", "--minutes", "nan"], "minutes nan: must be a finite number above 0"),
        (["demo", "--gmae", "pong"], 'did you mean "--game"?'),
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(words: list[str], complaint: str, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert error.startswith("arcadia: ")
    assert not re.search("Traceback|[│╭╮╰╯─]|---|helptext", error)


def test_debug_shows_the_traceback(capsys):
    assert main(["evaluate", "nowhere", "--debug"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("arcadia: ")


@pytest.mark.parametrize("command", ["evaluate", "watch", "report"])
def test_a_command_that_looks_at_a_run_takes_no_other_folder(command: str, tmp_path, capsys):
    RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=1)
    assert main([command, str(tmp_path / "run"), "--run-dir", str(tmp_path / "other")]) == 2
    assert "goes into the run itself" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_run_of_another_kind_is_told(tmp_path, capsys):
    RunFolder.create(tmp_path / "run", kind="dqm", config={}, seed=1)
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert 'a run of the kind "dqm"; did you mean "dqn"?' in capsys.readouterr().err
    assert main(["train", "dqn", "--resume", str(tmp_path / "run")]) == 2
    assert "dqn cannot go on with it" in capsys.readouterr().err


def test_nobody_at_the_address_is_told_soon(tmp_path):
    # In a process of its own: this one may be connected to the tests' Ray.
    start = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "arcadia", "train", "dqn", "--game", "pong"),
            *("--address", "127.0.0.1:1", "--run-dir", str(tmp_path / "run")),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'address "127.0.0.1:1": no Ray answers there' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - start < 20  # 2 s, most of them imports
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--env", "Pendulum-v1"], "DQN needs Discrete actions"),
        (["--game", "pong", "--num-gpus-per-learner", "64"], "ask for at most that"),
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


@pytest.mark.usefixtures("ray_session")
def test_a_place_that_cannot_be_written_is_one_line_too(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    place = str(tmp_path / "file" / "run")
    small = ["--env", "CartPole-v1", "--total-frames", "100", "--learning-starts", "50"]
    sweep = str(ROOT / "tune_configs" / "dqn_pong.py")
    for words in (["train", "dqn", *small], ["tune", sweep]):
        assert main([*words, "--run-dir", place]) == 2
        error = capsys.readouterr().err
        assert place in error
        assert "cannot write" in error
        assert len(error.splitlines()) == 1


def test_a_failing_job_is_one_line_and_exits_with_one(monkeypatch, capsys):
    def fail(argv: list[str], prog: str) -> None:
        raise RuntimeError("the disk\nis on fire")

    monkeypatch.setitem(COMMANDS, "burn", Command("arcadia.cli:main", "burns"))
    monkeypatch.setattr(Command, "load", lambda self: fail)
    assert main(["burn"]) == 1
    error = capsys.readouterr().err
    assert error == "arcadia: RuntimeError: the disk is on fire (--debug shows where)\n"
    assert main(["burn", "--debug"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "(--debug" not in error


def test_an_interrupted_job_exits_as_the_shell_expects(monkeypatch, capsys):
    def stop(argv: list[str], prog: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "wait", Command("arcadia.cli:main", "waits"))
    monkeypatch.setattr(Command, "load", lambda self: stop)
    assert main(["wait"]) == 130
    assert capsys.readouterr().err == "arcadia: interrupted\n"


def test_json_is_the_last_line(monkeypatch, capsys):
    def job(argv: list[str], prog: str) -> dict:
        print("words before")
        return {"score": 3, "error": math.nan, "rows": [(1.5, math.inf), {"x": -math.inf}]}

    monkeypatch.setitem(COMMANDS, "job", Command("arcadia.cli:main", "a job"))
    monkeypatch.setattr(Command, "load", lambda self: job)
    assert main(["job", "--json"]) == 0
    # NaN and Infinity, which Python writes and nobody else reads, are null.
    last = capsys.readouterr().out.splitlines()[-1]
    result = {"score": 3, "error": None, "rows": [[1.5, None], {"x": None}]}
    assert json.loads(last, parse_constant=pytest.fail) == result
    assert main(["job"]) == 0
    assert capsys.readouterr().out == "words before\n"
