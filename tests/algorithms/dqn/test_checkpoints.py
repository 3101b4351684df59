"""Checkpoints are unpickled only as they were written, and their state is data alone."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from algorithms.dqn import DQN, DQNConfig
from algorithms.dqn.plain_pickles import CLASSES_FILE, check_plain
from algorithms.hdqn import HDQNConfig
from arcadia.cli import main
from arcadia.errors import UserError
from arcadia.manifests import MANIFEST, write_manifest
from arcadia.runs import RunFolder

pytestmark = pytest.mark.usefixtures("ray_session")

SMALL = dict(
    env="CartPole-v1",
    num_envs_per_env_runner=2,
    learning_starts=100,
    steps_per_iteration=200,
    held_out_states=4,
    replay_capacity=1_000,
    hidden_size=8,
    eval_period_frames=0,
)


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.fixture(scope="module")
def algo():
    made = DQNConfig.preset("fast", **SMALL).debugging(seed=1).build_algo()
    made.train()
    yield made
    made.stop()


@pytest.fixture
def saved(algo: DQN, tmp_path: Path) -> Path:
    return Path(algo.save_to_path(tmp_path / "saved"))


def swap(saved: Path) -> str:
    """A file that would run something, in the place of one of the checkpoint's."""
    path = saved / "env_runner" / "state.pkl"
    # Of the same size: what follows a pickle's end is not read.
    path.write_bytes(pickle.dumps(Hostile(saved / "made")).ljust(path.stat().st_size, b"\0"))
    return r"env_runner/state\.pkl is not what MANIFEST\.json says"


def swap_the_list_too(saved: Path) -> str:
    swap(saved)
    write_manifest(saved, without=("replay",))
    return r"env_runner/state\.pkl is not the state of a training \(it asks for posix\.mkdir\)"


def add(saved: Path) -> str:
    other = saved / "env_to_module_connector"
    other.mkdir()
    (other / "state.pkl").write_bytes(pickle.dumps(Hostile(saved / "made")))
    return r"env_to_module_connector/state\.pkl is not in MANIFEST\.json"


def cut(saved: Path) -> str:
    path = saved / "learner_group" / "learner" / "state.pkl"
    path.write_bytes(path.read_bytes()[:-100])
    return r"learner/state\.pkl is not what MANIFEST\.json says: damaged"


def forget_the_list(saved: Path) -> str:
    (saved / MANIFEST).unlink()
    return r"no list of its files \(MANIFEST\.json\)"


HARMS = pytest.mark.parametrize("harm", [swap, swap_the_list_too, add, cut, forget_the_list])


@HARMS
def test_nothing_of_a_checkpoint_that_was_changed_is_unpickled(
    harm: Callable[[Path], str], algo: DQN, saved: Path
):
    said = harm(saved)
    for restore in (algo.restore_from_path, algo.restore, DQN.from_checkpoint):
        with pytest.raises(UserError, match=said):
            restore(str(saved))
    assert not (saved / "made").exists()


def test_the_classes_of_a_changed_checkpoint_are_not_unpickled(saved: Path):
    (saved / CLASSES_FILE).write_bytes(pickle.dumps(Hostile(saved / "made")))
    with pytest.raises(UserError, match=rf"{CLASSES_FILE} is not what MANIFEST\.json says"):
        DQN.from_checkpoint(str(saved))
    assert not (saved / "made").exists()


def test_a_folder_that_holds_no_policy_is_not_unpickled(tmp_path: Path):
    (tmp_path / CLASSES_FILE).write_bytes(pickle.dumps(Hostile(tmp_path / "made")))
    write_manifest(tmp_path)
    with pytest.raises(UserError, match=r"policy\.safetensors is missing"):
        DQN.from_checkpoint(str(tmp_path))
    assert not (tmp_path / "made").exists()


def test_tunes_own_pickle_is_refused(algo: DQN, saved: Path):
    (saved / "dict_checkpoint.pkl").write_bytes(pickle.dumps(Hostile(saved / "made")))
    with pytest.raises(UserError, match=r"dict_checkpoint\.pkl is nothing that Arcadia writes"):
        algo.restore(str(saved))
    assert not (saved / "made").exists()


def test_a_part_is_restored_alone_and_only_as_it_was_written(algo: DQN, saved: Path):
    part, component = saved / "learner_group" / "learner", "learner_group/learner"
    (saved / "env_runner" / "state.pkl").unlink()  # which is no part of it
    algo.restore_from_path(part, component=component)
    cut(saved)
    with pytest.raises(UserError, match=r"learner_group/learner/state\.pkl is not what"):
        algo.restore_from_path(part, component=component)


def test_the_state_of_many_processes_and_of_two_levels_is_data_alone(tmp_path: Path):
    several = SMALL | dict(num_env_runners=1, num_learners=1)
    goals = {k: v for k, v in SMALL.items() if k not in ("env", "held_out_states")}
    configs = (
        DQNConfig.preset("fast", **several),
        HDQNConfig.preset("gridworld", env="KeyDoor-v0", max_goal_steps=20, **goals),
    )
    for number, config in enumerate(configs):
        algo = config.debugging(seed=1).build_algo()
        algo.train()
        folder = Path(algo.save_to_path(tmp_path / str(number)))
        assert len(list(folder.rglob("*state.pkl"))) >= 5
        check_plain(folder, "here")
        algo.restore_from_path(folder)
        algo.stop()


def test_a_run_with_a_changed_checkpoint_does_not_go_on(
    algo: DQN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = {"preset": "fast", "options": dataclasses.asdict(algo.options)}
    run = RunFolder.create(tmp_path / "run", kind="dqn", config=config, seed=1)
    algo.save_to_path(tmp_path / "local", replay=False)
    run.publish_checkpoint(tmp_path / "local", algo.num_env_steps)
    swap(run.path / "checkpoints" / f"{algo.num_env_steps:09d}")
    capsys.readouterr()
    assert main(["train", "dqn", "--resume", str(run.path)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "env_runner/state.pkl is not what MANIFEST.json says" in error
    assert run.status == "running" and not list(run.path.rglob("made"))


@pytest.mark.parametrize("again", [True, False])
def test_what_is_saved_again_is_of_one_moment(algo: DQN, tmp_path: Path, again: bool):
    place = algo.save_to_path(tmp_path / "saved", replay=True)
    algo.train()
    algo.save_to_path(place, replay=again)
    other = DQNConfig.preset("fast", **SMALL).debugging(seed=2).build_algo()
    assert isinstance(other, DQN)
    other.restore_from_path(place)
    assert other.num_env_steps == algo.num_env_steps
    assert (tmp_path / "saved" / "replay").exists() == again
    other.stop()
