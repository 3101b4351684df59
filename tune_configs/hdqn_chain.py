"""Intrinsic reward, epsilon floor and seed of h-DQN on the six-state chain, with networks.

arcadia tune tune_configs/hdqn_chain.py
"""

from ray import tune

from algorithms.hdqn import HDQNConfig

METRIC = "env_runners/episode_return_mean"


def sweep() -> tuple[HDQNConfig, tune.TuneConfig]:
    """Every combination of three intrinsic rewards and three floors, each with two seeds."""
    config = (
        HDQNConfig()
        .environment("Chain-v0")
        .training(
            intrinsic_reward=tune.grid_search([0.1, 1.0, 10.0]),
            goal_epsilon_floor=tune.grid_search([0.02, 0.1, 0.3]),
            n_step=1,
            hidden_size=32,
            learning_starts=500,
            phase1_frames=10_000,
            meta_epsilon_decay_frames=10_000,
            meta_updates_per_step=0.25,
            replay_capacity=50_000,
            steps_per_iteration=5_000,
            total_frames=60_000,
            eval_period_frames=0,
        )
        .debugging(seed=tune.grid_search([0, 1]))  # type: ignore[arg-type]
    )
    tune_config = tune.TuneConfig(metric=METRIC, mode="max", num_samples=1, max_concurrent_trials=2)
    return config, tune_config
