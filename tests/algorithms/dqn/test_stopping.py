"""Asked to stop, or out of disk: a checkpoint is left, one line is said, the earlier one stays."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from algorithms.dqn import load_policy
from arcadia.atomic import held_alone
from arcadia.cli import main
from arcadia.runs import RunFolder
from tests.disks import fill

ROOT = Path(__file__).parents[3]
SMALL = [
    *("--env", "CartPole-v1"),
    *("--learning-starts", "100"),
    *("--steps-per-iteration", "200"),
    *("--held-out-states", "8"),
    *("--hidden-size", "64"),
    *("--replay-capacity", "5000"),
]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("DQN on")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("arcadia: ")
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_leaves_a_checkpoint_to_go_on_from(number: signal.Signals, tmp_path):
    run_dir = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "arcadia", "train", "dqn", *SMALL, "--run-dir", run_dir, "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Run:")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "go on with --resume" in out
    result = json.loads(out.splitlines()[-1])
    assert result["run"] == str(run_dir)
    run = RunFolder.open(run_dir)
    assert run.status == "stopped"
    assert run.checkpoints() == run.checkpoints("replay") == [result["env_steps"]]


@pytest.mark.usefixtures("ray_session")
def test_a_full_disk_is_one_line_and_the_earlier_checkpoint_stays_good(make_disk, capsys):
    small_disk = make_disk("16m")
    run_dir = str(small_disk / "run")
    train = ["train", "dqn", *SMALL, "--run-dir", run_dir, "--seed", "1"]
    assert main([*train, "--total-frames", "600"]) == 0
    first = load_policy(run_dir)
    ballast = fill(small_disk, 300_000)
    capsys.readouterr()
    resume = ["train", "dqn", "--resume", run_dir]
    assert main([*resume, "--total-frames", "1200"]) == 2
    line = one_line(capsys)
    assert "cannot write" in line
    assert "No space left on device; free some space there or choose another place" in line
    run = RunFolder.open(run_dir)
    assert run.checkpoints() == [600]
    again = load_policy(run_dir)
    state = np.ones(4, np.float32)
    np.testing.assert_array_equal(first.q_values(state), again.q_values(state))
    # Nothing of the failed one is left behind, and with room again it goes on.
    assert not list((small_disk / "run").rglob(".*tmp*"))
    ballast.unlink()
    assert main([*resume, "--total-frames", "1200"]) == 0
    assert run.checkpoints() == [600, 1200]
    assert run.status == "completed"


@pytest.mark.usefixtures("ray_session")
def test_a_folder_that_cannot_be_written_is_one_line(make_disk, capsys):
    small_disk = make_disk("16m")
    train = ["train", "dqn", *SMALL, "--total-frames", "300", "--run-dir"]
    assert main([*train, str(small_disk / "run")]) == 0
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True, capture_output=True)
    capsys.readouterr()
    for words in (
        [*train, str(small_disk / "other")],
        ["train", "dqn", "--resume", str(small_disk / "run"), "--total-frames", "600"],
    ):
        assert main(words) == 2
        assert "Read-only file system; ask for access to it or choose another" in one_line(capsys)
    assert RunFolder.open(small_disk / "run").checkpoints() == [400]
    file = small_disk.parent / "file"
    file.touch()
    assert main([*train, str(file / "run")]) == 2
    assert "Not a directory" in one_line(capsys)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("keep", ["last", "every", "none"])
def test_the_replay_is_kept_as_asked(keep: str, tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    often = ["--checkpoint-minutes", "0.00001", "--save-replay", keep, "--run-dir", run_dir]
    assert main(["train", "dqn", *SMALL, *often, "--total-frames", "600"]) == 0
    run = RunFolder.open(run_dir)
    checkpoints = run.checkpoints()
    assert checkpoints == [400, 600]
    kept = {"last": [600], "every": checkpoints, "none": []}
    assert run.checkpoints("replay") == kept[keep]
    capsys.readouterr()
    assert main(["train", "dqn", "--resume", run_dir, "--total-frames", "800"]) == 0
    assert ("its replay was not saved" in capsys.readouterr().out) == (keep == "none")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_killed_training_goes_on_from_its_latest_checkpoint(tmp_path, capsys):
    run_dir = tmp_path / "run"
    often = ["--checkpoint-minutes", "0.00001", "--run-dir", str(run_dir)]
    process = subprocess.Popen(
        [sys.executable, "-m", "arcadia", "train", "dqn", *SMALL, *often],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"Run:")
    while not (run_dir / "checkpoints").is_dir() or not RunFolder.open(run_dir).checkpoints():
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()  # as likely as not while the next checkpoint is being written
    process.wait()
    run = RunFolder.open(run_dir)
    last = run.checkpoints()[-1]
    assert load_policy(run_dir).step == last
    more = str(last + 200)
    assert main(["train", "dqn", "--resume", str(run_dir), "--total-frames", more]) == 0
    assert (run.status, run.checkpoints()[-1]) == ("completed", last + 200)


@pytest.mark.usefixtures("ray_session")
def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, capsys):
    run_dir = tmp_path / "run"
    train = ["train", "dqn", *SMALL, "--run-dir", str(run_dir), "--total-frames", "400"]
    assert main(train) == 0
    capsys.readouterr()
    more = ["train", "dqn", "--resume", str(run_dir), "--total-frames", "600"]
    with held_alone(run_dir):
        assert main(more) == 2
    assert "another process is at work in it" in one_line(capsys)
    assert main(more) == 0
