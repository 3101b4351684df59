"""Noisy activations in both levels: noise where they learn, its expectation where they act."""

import numpy as np
import pytest
import torch

from algorithms.hdqn import HDQNConfig, HDQNOptions
from algorithms.hdqn.algorithm import HDQN

pytestmark = pytest.mark.usefixtures("ray_session")


def test_greedy_values_have_no_noise():
    config = HDQNConfig().training(
        env="KeyDoor-v0",
        activation="noisy_hard_tanh",
        num_envs_per_env_runner=2,
        hidden_size=16,
        replay_capacity=1_000,
        learning_starts=100,
    )
    algo = config.debugging(seed=1).build_algo()
    assert isinstance(algo, HDQN)
    runner = algo.runner
    runner.start_step(epsilon=0.0)  # picks goals
    runner.finish_step()
    with torch.no_grad():  # noise is where activations saturate
        for parameter in [p for m in runner.modules.values() for p in m.parameters()]:
            parameter.mul_(50)
    observation = runner.stacks.observation
    for values in (runner.q_values, runner.goal_values):
        np.testing.assert_array_equal(values(observation), values(observation))
    algo.stop()


def test_the_noise_of_each_level_falls_over_the_updates_that_it_makes():
    options = HDQNOptions(
        env="KeyDoor-v0",
        activation="noisy_hard_tanh",
        anneal="30:0.5",
        total_frames=60_000,
        phase1_frames=45_000,
        updates_per_step=0.5,
        meta_updates_per_step=0.1,
    )
    assert options.controller.schedule(options.controller.num_updates).duration == 30_000
    assert options.meta.schedule(options.meta.num_updates).duration == 1_500
    given = HDQNOptions(
        env="KeyDoor-v0", activation="noisy_hard_tanh", anneal="30:0.5", anneal_updates=7
    )
    assert given.meta.schedule(given.meta.num_updates).duration == 7
