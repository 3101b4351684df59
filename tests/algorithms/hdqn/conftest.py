"""Runs of h-DQN that several tests look at."""

import pytest

from arcadia.runs import RunFolder
from tests.algorithms.hdqn.short_runs import make_run, prefer


@pytest.fixture(scope="session")
def key_door_run(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> RunFolder:
    """The gridworld; the meta-controller always wants the key, and the controller goes left."""
    folder = tmp_path_factory.mktemp("key-door") / "run"
    return make_run(folder, lambda algo: prefer(algo, goal=0, action=2), env="KeyDoor-v0")


@pytest.fixture(scope="session")
def montezuma_run(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> RunFolder:
    """Montezuma's Revenge, a few steps of it."""
    folder = tmp_path_factory.mktemp("montezuma") / "run"
    return make_run(folder, game="montezuma_revenge", steps_per_iteration=60)
