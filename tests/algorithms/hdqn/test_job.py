"""The command of h-DQN with networks end to end, shrunken, on real environments."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from algorithms.hdqn.job import HDQNTrainOptions
from algorithms.hdqn.presets import PRESETS, preset
from algorithms.hdqn.training import HDQNTraining
from arcadia.cli import main
from arcadia.errors import UserError
from arcadia.media.images import read_image
from arcadia.options import CommonOptions, flags
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from tests.disks import fill

ROOT = Path(__file__).parents[3]
SMALL = [
    *("--learning-starts", "100"),
    *("--steps-per-iteration", "200"),
    *("--replay-capacity", "5000"),
    *("--num-envs-per-env-runner", "4"),
    *("--hidden-size", "16"),
    *("--max-goal-steps", "20"),
    *("--meta-learning-starts", "4"),
    *("--meta-batch-size", "8"),
    *("--meta-replay-capacity", "1000"),
    *("--eval-period-frames", "0"),
]
NAMES = ["key", "door", "left gap", "right gap"]
KEY_DOOR = ["train", "hdqn", "--env", "KeyDoor-v0", *SMALL, "--phase1-frames", "600", "--seed", "1"]

pytestmark = pytest.mark.usefixtures("ray_session")


def run_cli(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def counts(run: RunFolder, what: str) -> np.ndarray:
    """(T, G), of each goal as TensorBoard has it."""
    scalars = read_scalars(run)
    return np.stack([scalars[f"goal/{name}/{what}"][1] for name in NAMES], axis=1)


def test_goals_are_trained_told_of_resumed_and_reported(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    often = ["--eval-period-frames", "600", "--eval-episodes", "2"]
    words = [*KEY_DOOR, "--run-dir", run_dir, "--total-frames", "1200", *often]
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    result = json.loads(said.out.splitlines()[-1])
    assert result["env_steps"] == result["env_frames"] == 1_200
    assert result["updates"] > 200
    assert list(result["goals"]) == NAMES
    for own in result["goals"].values():
        assert set(own) == {"tried", "reached", "success_rate", "epsilon"}
        assert 0 <= own["reached"] <= own["tried"]
    tried = [own["tried"] for own in result["goals"].values()]
    assert sum(tried) >= 1_200 / 20 - 4

    # Without a terminal, the table comes once at the end; stdout is left to the result.
    assert said.err.count("latest 100") == 1
    rows = said.err.splitlines()[-5:-1]
    assert [row.split("  ")[0].strip() for row in rows] == NAMES
    assert [int(row[12:20]) for row in rows] == tried

    run = RunFolder.open(run_dir)
    assert (run.kind, run.status, run.seed) == ("hdqn", "completed", 1)
    assert run.config["goals"] == NAMES
    assert run.config["options"]["max_goal_steps"] == 20
    assert run.checkpoints() == run.checkpoints("replay") == [1_200]
    evaluations = run.read_json("evaluations.json")
    assert [e["step"] for e in evaluations] == [600, 1_200]
    assert result["evaluation_return_best"] == max(e["return_mean"] for e in evaluations)
    scalars = read_scalars(run)
    assert {"learner/loss", "learner/q", "meta/loss", "meta/q", "replay/bytes"} <= set(scalars)
    assert scalars["meta/phase"][1].tolist() == [1, 1, 2, 2, 2, 2]
    assert scalars["meta/epsilon"][1][0] == 1 > scalars["meta/epsilon"][1][-1]
    assert counts(run, "tried")[-1].tolist() == tried
    assert counts(run, "chosen").sum(axis=1) == pytest.approx(1)
    ended = np.diff(counts(run, "tried"), axis=0, prepend=0)
    assert counts(run, "chosen") == pytest.approx(ended / ended.sum(axis=1, keepdims=True))
    assert read_image(run.path / "goals.png").shape[2] == 3

    (run.path / "goals.png").unlink()
    page = Path(run_cli(capsys, "report", run_dir)["report"]).read_text()
    for shown in ("h-DQN on KeyDoor-v0", "right gap", "Loss of the meta-controller", "meta_gamma"):
        assert shown in page
    assert (run.path / "goals.png").is_file()

    second = run_cli(capsys, "train", "hdqn", "--resume", run_dir, "--total-frames", "1600")
    assert second["env_steps"] == 1_600
    again = counts(run, "tried")
    assert len(again) == 8 and (np.diff(again, axis=0) >= 0).all()
    assert again[5].tolist() == tried  # the point at the checkpoint itself stays
    assert again[-1].tolist() == [own["tried"] for own in second["goals"].values()]
    for words, complaint in (
        (["--phase1-frames", "5"], "phase1_frames 5: the run"),
        (["--env", "chain"], 'env "chain": the run'),
        (["--env", "montezuma_revenge"], 'was made with "KeyDoor-v0"'),
        (["--goals", "some:Goals"], "goals 'some:Goals': the run"),
        (["--preset", "nips2016"], "preset 'nips2016': the run was made with 'fast'"),
        (["--seed", "99"], "seed 99: the run was made with seed 1"),
        (["--seeds", "2"], "seeds 2: the run was made with one seed"),
    ):
        assert complaint in refused(capsys, "train", "hdqn", "--resume", run_dir, *words)
    assert "a run of kind" in refused(capsys, "train", "dqn", "--resume", run_dir)


def test_montezumas_revenge_is_played_for_the_objects_of_its_first_room(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = ["--env", "montezuma_revenge", "--phase1-frames", "200", "--total-frames", "400"]
    short = ["--max-episode-frames", "240", "--batch-size", "8"]
    result = run_cli(capsys, "train", "hdqn", *words, *SMALL, *short, "--run-dir", run_dir)
    assert result["env_frames"] == 4 * result["env_steps"] == 1_600
    assert len(result["goals"]) == 7 and "middle ladder" in result["goals"]
    assert sum(own["tried"] for own in result["goals"].values()) >= 16
    options = RunFolder.open(run_dir).config["options"]
    assert (options["game"], options["env"], options["emulator"]) == (
        "montezuma_revenge",
        None,
        "ram",
    )
    page = Path(run_cli(capsys, "report", run_dir)["report"]).read_text()
    assert "h-DQN on Montezuma Revenge" in page and "4.3 million" in page


@pytest.mark.slow
def test_a_resumed_run_is_the_straight_one(tmp_path, capsys):
    whole = run_cli(capsys, *KEY_DOOR, "--run-dir", str(tmp_path / "a"), "--total-frames", "1200")
    run_cli(capsys, *KEY_DOOR, "--run-dir", str(tmp_path / "b"), "--total-frames", "800")
    half = ["train", "hdqn", "--resume", str(tmp_path / "b"), "--total-frames", "1200"]
    assert run_cli(capsys, *half)["goals"] == whole["goals"]
    ours, theirs = (read_scalars(RunFolder.open(tmp_path / name)) for name in "ab")
    assert set(ours) == set(theirs)
    for tag in set(ours) - {t for t in ours if t.endswith("_per_s")}:
        np.testing.assert_array_equal(ours[tag], theirs[tag], err_msg=tag)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_goals(tmp_path, capsys):
    run_dir = tmp_path / "run"
    often = ["--checkpoint-minutes", "0.00001", "--run-dir", str(run_dir)]
    process = subprocess.Popen(
        [sys.executable, "-m", "arcadia", *KEY_DOOR, *often],
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
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = RunFolder.open(run_dir)
    last = run.checkpoints()[-1]
    until = last + 400
    resume = ["train", "hdqn", "--resume", str(run_dir), "--total-frames", str(until)]
    result = run_cli(capsys, *resume)
    assert (run.status, run.checkpoints()[-1], result["env_steps"]) == ("completed", until, until)
    steps = read_scalars(run)["goal/key/tried"][0]
    np.testing.assert_array_equal(steps, np.arange(200, until + 1, 200))  # none is missing
    tried = counts(run, "tried").sum(axis=1)
    assert tried[-1] == sum(own["tried"] for own in result["goals"].values())
    assert (np.diff(tried) > 0).all()


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_with_its_goals(tmp_path, make_disk, capsys):
    disk = make_disk("16m")
    run_dir = str(disk / "run")
    first = run_cli(capsys, *KEY_DOOR, "--run-dir", run_dir, "--total-frames", "800")
    ballast = fill(disk, 100_000)
    resume = ["train", "hdqn", "--resume", run_dir, "--total-frames", "1200"]
    assert main(resume) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("arcadia: ")]
    assert len(told) == 1 and "cannot write: No space left on device; free some" in told[0]
    run = RunFolder.open(run_dir)
    assert run.checkpoints() == run.checkpoints("replay") == [800]
    assert not list((disk / "run").rglob(".*tmp*"))
    ballast.unlink()
    result = run_cli(capsys, *resume)
    assert (run.status, run.checkpoints()[-1]) == ("completed", 1200)
    for name, own in first["goals"].items():
        assert result["goals"][name]["tried"] >= own["tried"]


@pytest.mark.slow
def test_several_seeds_are_trained_side_by_side(tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = [*KEY_DOOR, "--total-frames", "600", "--seeds", "2", "--run-dir", run_dir]
    result = run_cli(capsys, *words)
    assert result["seeds"] == [1, 2]
    assert all(list(own["goals"]) == NAMES for own in result["runs"])
    assert RunFolder.open(run_dir).kind == "hdqn-seeds"
    assert RunFolder.open(tmp_path / "run" / "seed-2").kind == "hdqn"
    page = Path(run_cli(capsys, "report", run_dir)["report"]).read_text()
    assert "h-DQN on KeyDoor-v0" in page
    again = run_cli(capsys, "train", "hdqn", "--resume", run_dir, "--total-frames", "800")
    assert [own["env_steps"] for own in again["runs"]] == [800, 800]


OWN = """
import numpy as np

from algorithms.hdqn import GoalSpace


class Sides(GoalSpace):
    names = ("left", "right")

    def inputs(self):
        return np.eye(2, dtype=np.float32)

    def reached(self, before, after, goal):
        return (after.observation[0] > 0.05) if goal else (after.observation[0] < -0.05)


class Small(Sides):
    def inputs(self):
        return np.zeros((2, 10, 10), np.uint8)


class Many(Sides):
    names = tuple(str(i) for i in range(256))


class Blank(GoalSpace):
    names = ("nowhere",)


class Empty(Sides):
    names = ("nowhere",)

    def inputs(self):
        return None
"""


WORLD = """
import gymnasium as gym
import numpy as np

from algorithms.hdqn.goals import GoalSpace


class World(gym.Env):
    observation_space = gym.spaces.Box(0, 5, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 2
        return np.array([self.at], np.float32), {}

    def step(self, action):
        self.at += 2 * int(action) - 1
        over = self.at in (0, 5)
        return np.array([self.at], np.float32), float(self.at == 5), over, False, {}


gym.register("OwnWorld-v0", World)


class Ends(GoalSpace):
    names = ("near", "far")

    def inputs(self):
        return np.eye(2, dtype=np.float32)

    def reached(self, before, after, goal):
        return after.observation[0] == (0, 5)[goal]
"""


@pytest.fixture
def own_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder."""
    (tmp_path / "own_goals.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "own_goals", raising=False)
    return "own_goals"


def test_goals_of_ones_own_are_pursued_in_any_environment(own_goals: str, capsys):
    words = ["--env", "CartPole-v1", "--goals", f"{own_goals}:Sides", "--total-frames", "400"]
    result = run_cli(capsys, "train", "hdqn", *words, *SMALL, "--run-dir", "run")
    assert list(result["goals"]) == ["left", "right"]
    assert sum(own["reached"] for own in result["goals"].values()) > 0


@pytest.mark.slow
def test_an_environment_of_ones_own_is_trained_and_then_evaluated_by_another_process(
    own_goals: str, tmp_path: Path, capsys
):
    (tmp_path / "own_world.py").write_text(WORLD)
    words = ["--env", "OwnWorld-v0", "--goals", "own_world:Ends", "--total-frames", "200"]
    result = run_cli(capsys, "train", "hdqn", *words, *SMALL, "--run-dir", "run")
    assert list(result["goals"]) == ["near", "far"]
    told = subprocess.run(
        [sys.executable, "-m", "arcadia", "evaluate", "run", "--episodes", "2", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    scores = json.loads(told.stdout.splitlines()[-1])
    assert set(scores["goals"]) == {"near", "far"} and scores["episodes"] == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "env: give --env, such as --env montezuma_revenge"),
        (["--env", "montezuma_revange"], 'did you mean "montezuma_revenge"?'),
        (["--env", "Keydoor-v0"], 'nothing that h-DQN plays; did you mean "KeyDoor-v0"?'),
        (["--env", "CartPole-v9"], 'env "CartPole-v9": no such environment'),
        (["--env", "CartPole-v1"], 'env "CartPole-v1": has no goals; give goals, module:Class'),
        (["--env", "KeyDoor"], "has no goals; give goals, module:Class of a GoalSpace for it; did"),
        (["--game", "pong"], 'game "pong": has no goals'),
        (["--game", "pong", "--env", "KeyDoor-v0"], "give one of the two, not both"),
        (["--env", "KeyDoor-v0", "--goals", "nowhere:Goals"], 'goals "nowhere:Goals": cannot be'),
        (["--env", "KeyDoor-v0", "--goals", "own_goals"], "must be module:Class"),
        (["--env", "KeyDoor-v0", "--goals", "own_goals:np"], "is no GoalSpace"),
        (["--env", "KeyDoor-v0", "--goals", "own_goals:Blank"], "it needs inputs and reached"),
        (["--env", "KeyDoor-v0", "--goals", "own_goals:Empty"], "(1, F)"),
        (
            ["--env", "KeyDoor-v0", "--meta-replay-capacity", "100"],
            "meta_learning_starts 200: is above meta_replay_capacity 100",
        ),
        (["--game", "pong", "--goals", "own_goals:Small"], "(2, 84, 84)"),
        (["--env", "CartPole-v1", "--goals", "own_goals:Many"], "256 goals; there must be 1 to"),
        (["--env", "KeyDoor-v0", "--preset", "nips2013"], 'did you mean "nips2016"?'),
        (["--env", "KeyDoor-v0", "--episodes", "5"], "--episodes: no such option"),
        (["--env", "KeyDoor-v0", "--meta-gamma", "2"], "meta_gamma 2.0: must be between 0 and 1"),
    ],
)
def test_mistakes_are_said_in_one_line(words: list[str], complaint: str, own_goals: str, capsys):
    assert complaint in refused(capsys, "train", "hdqn", *words)
    assert not Path("runs").exists()


def test_options_are_flags_and_presets_hold_them():
    own = {f"--{name}" for name in ("preset", "resume", "seeds", "minutes", "checkpoint-minutes")}
    words = {w for w in flags(HDQNTrainOptions) if not w.startswith("--no-")}
    options = {w for w in flags(PRESETS["fast"]().__class__) if not w.startswith("--no-")}
    common = {w for w in flags(CommonOptions) if not w.startswith("--no-")}
    assert words == own | options | common and "--meta-gamma" in options
    paper = preset("nips2016", game="montezuma_revenge")
    assert (paper.replay_capacity, paper.meta_replay_capacity) == (1_000_000, 50_000)
    assert (paper.lr, paper.meta_lr, paper.goal_epsilon_floor) == (2.5e-4, 2.5e-4, 0.1)
    assert paper.phase1_steps == 2_300_000
    with pytest.raises(UserError, match="meta_gama: no option of h-DQN; did you mean"):
        preset("fast", meta_gama=0.9)
    assert HDQNTrainOptions.training_class() is HDQNTraining
