"""The sweep of h-DQN on the chain, shrunken."""

import math

import pytest
from ray import tune

from algorithms.hdqn import HDQN
from arcadia.tuning import load_sweep
from tune_configs.hdqn_chain import METRIC


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_sweep_tries_what_it_says(tmp_path):
    space, tune_config = load_sweep("tune_configs/hdqn_chain.py")
    assert tune_config.metric == METRIC
    space.training(goal_epsilon_floor=0.1, learning_starts=100, phase1_frames=500)
    space.training(steps_per_iteration=500, total_frames=1_500)
    results = tune.Tuner(
        HDQN,
        param_space=space,
        tune_config=tune_config,
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert not results.errors
    tried = sorted((r.config["intrinsic_reward"], r.config["seed"]) for r in results)  # type: ignore[index]
    assert tried == [(reward, seed) for reward in (0.1, 1.0, 10.0) for seed in (0, 1)]
    for result in results:
        assert result.metrics is not None
        assert result.metrics["num_env_steps_sampled_lifetime"] >= 1_500
        assert math.isfinite(result.metrics["env_runners"]["episode_return_mean"])
