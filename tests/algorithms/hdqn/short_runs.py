"""Runs of h-DQN whose checkpoints the tests look at, trained for a moment."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from algorithms.hdqn.algorithm import HDQN
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.options import CONTROLLER, META
from arcadia.runs import RunFolder


def make_run(
    folder: Path, prepare: Callable[[HDQN], None] = lambda algo: None, **options: Any
) -> RunFolder:
    """Trains for an iteration, and publishes what came of it as `arcadia train` does."""
    defaults: dict[str, Any] = {
        "num_envs_per_env_runner": 2,
        "learning_starts": 50,
        "steps_per_iteration": 200,
        "replay_capacity": 1_000,
        "hidden_size": 16,
        "phase1_frames": 100,
        "meta_learning_starts": 2,
        "meta_batch_size": 4,
        "meta_replay_capacity": 100,
        "max_goal_steps": 25,
        "eval_period_frames": 0,
    }
    algo = HDQNConfig().training(**(defaults | options)).debugging(seed=1).build_algo()
    assert isinstance(algo, HDQN)
    algo.train()
    prepare(algo)
    run = RunFolder.create(
        folder,
        kind="hdqn",
        config={"preset": "fast", "options": dataclasses.asdict(algo.options)},
        seed=1,
    )
    with tempfile.TemporaryDirectory() as local:
        algo.save_to_path(local, replay=False)
        run.publish_checkpoint(Path(local), algo.num_env_steps)
    algo.stop()
    return run


def prefer(algo: HDQN, goal: int, action: int) -> None:
    """Makes one goal, and one action, always the best."""
    for module, best in ((META, goal), (CONTROLLER, action)):
        online = algo.runner.modules[module].online
        with torch.no_grad():
            for parameter in online.parameters():
                parameter.zero_()
            last = online.advantage[-1]
            assert isinstance(last.bias, torch.Tensor)
            last.bias[best] = 1.0
