"""The learner on a GPU: it computes what it does on a CPU, and every loop runs with it there."""

import os
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from algorithms.dqn import DQN, DQNConfig
from algorithms.dqn.learner import DQNLearner
from algorithms.hdqn import HDQNConfig
from algorithms.replay import Batch

pytestmark = pytest.mark.gpu

PLANES = 4  # of a state
SMALL = dict(
    num_envs_per_env_runner=4,
    learning_starts=200,
    steps_per_iteration=600,
    replay_capacity=5_000,
    held_out_states=0,
    eval_period_frames=0,
)


def learner(*, gpu: bool, **options: object) -> DQNLearner:
    torch.manual_seed(0)
    config = DQNConfig.preset("fast", game="pong", **({"autocast": "none"} | options))
    config.debugging(seed=0)
    config.learners(num_gpus_per_learner=1 if gpu else 0)
    spaces = gym.spaces.Box(0, 255, (PLANES, 84, 84), np.uint8), gym.spaces.Discrete(6)
    built = config.build_learner(spaces={DEFAULT_MODULE_ID: spaces})
    assert isinstance(built, DQNLearner)
    return built


def batch(size: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    first = np.arange(size)[:, np.newaxis]
    return Batch(
        frames=rng.integers(256, size=(size + PLANES + 3, 84, 84), dtype=np.uint8),
        planes_tm1=first + np.arange(PLANES),
        planes_t=first + 3 + np.arange(PLANES),
        a_tm1=rng.integers(6, size=size),
        r_t=rng.standard_normal(size).astype(np.float32),
        discount_t=np.where(rng.random(size) < 0.2, 0, 0.97).astype(np.float32),
        goal=np.zeros(size, np.int64),
        duration=np.ones(size, np.int64),
        id=np.arange(size),
        origin=np.zeros(size, np.int64),
        weight=np.ones(size, np.float32),
    )


def weights(of: DQNLearner) -> np.ndarray:
    return torch.cat([p.detach().cpu().flatten() for p in of.dqn_module.parameters()]).numpy()


@pytest.mark.parametrize(
    "options",
    [{}, {"channels_last": True}, {"num_atoms": 51}, {"optimizer": "rmsprop", "double": False}],
    ids=str,
)
def test_it_learns_what_a_cpu_learns(options: dict[str, object]):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    here, there = learner(gpu=False, **options), learner(gpu=True, **options)
    assert {p.device.type for p in there.dqn_module.parameters()} == {"cuda"}
    np.testing.assert_array_equal(weights(here), weights(there))
    before = weights(here)
    for seed in range(3):
        here.update_minibatches(batch(64, seed), 2)
        there.update_minibatches(batch(64, seed), 2)
    moved = np.abs(weights(here) - before)
    apart = np.abs(weights(here) - weights(there))
    # Sums of floats in another order; RMSProp divides by averages that are still small.
    share = 0.1 if options.get("optimizer") == "rmsprop" else 0.02
    assert apart.mean() < share * moved.mean()


def test_bfloat16_is_near_it():
    exact, rough = learner(gpu=True), learner(gpu=True, autocast="bf16", channels_last=True)
    q = [one.max_q(batch(64, 7).frames[:4][np.newaxis]) for one in (exact, rough)]
    assert q[1] == pytest.approx(q[0], abs=0.02)
    metrics, _ = rough.update_minibatches(batch(64, 0), 2)
    assert np.isfinite(metrics["loss"]) and np.isfinite(weights(rough)).all()


@pytest.mark.parametrize(
    "where",
    [
        {"num_gpus_per_learner": 1},
        {"num_gpus_per_learner": 1, "num_env_runners": 2},
        {"num_gpus_per_learner": 1, "num_env_runners": 2, "num_learners": 1},
    ],
    ids=["one process", "actors play", "an actor learns"],
)
@pytest.mark.parametrize("config", [DQNConfig, HDQNConfig])
def test_a_run_learns_there_and_goes_on(
    config: type[DQNConfig], where: dict[str, object], tmp_path: Path, ray_session: None
):
    own: dict[str, object] = {"game": "pong"}
    if config is HDQNConfig:
        own = dict(game="montezuma_revenge", phase1_frames=500, max_goal_steps=20)
        own["meta_learning_starts"] = 5
    made = config().training(**SMALL, **own, **where).debugging(seed=1)
    algo = made.build_algo()
    assert isinstance(algo, DQN)
    for _ in range(3):
        result = algo.train()
    for level, number in algo.loop.num_updates.items():
        assert number > 0, level
        assert np.isfinite(result["learners"][level]["loss"])
    if "num_learners" in where:
        (worker,) = algo.loop.learners.workers
        ids = ray.get(worker.apply.remote(lambda _: ray.get_gpu_ids()))
        assert len(ids) == 1
    else:
        device = {p.device.type for p in algo.learner.q_module(level).parameters()}
        assert device == {"cuda"}
    algo.save_to_path(tmp_path)
    steps, updates = algo.num_env_steps, algo.num_updates
    algo.stop()
    again = made.copy(copy_frozen=False).build_algo()
    again.restore_from_path(tmp_path)
    assert (again.num_env_steps, again.num_updates) == (steps, updates)
    again.train()
    assert again.num_updates > updates
    again.stop()


def test_a_killed_learner_comes_back_on_the_gpu(ray_session: None):
    config = DQNConfig().training(
        game="pong", **SMALL, num_env_runners=2, num_learners=1, num_gpus_per_learner=1
    )
    algo = config.debugging(seed=1).build_algo()
    assert isinstance(algo, DQN)
    algo.train()
    (worker,) = algo.loop.learners.workers
    os.kill(ray.get(worker.apply.remote(lambda _: os.getpid())), signal.SIGKILL)
    result = algo.train()
    algo.train()
    assert algo.loop.faults()["learner_restarts"] == 1
    assert np.isfinite(result["learners"][DEFAULT_MODULE_ID]["updates_per_s"])
    algo.stop()
