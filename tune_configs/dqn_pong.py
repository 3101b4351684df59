"""Learning rate, target period and updates per step of `fast` on Pong.

arcadia tune tune_configs/dqn_pong.py
"""

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from algorithms.dqn import DQNConfig

METRIC = "env_runners/episode_return_mean"


def sweep() -> tuple[DQNConfig, tune.TuneConfig]:
    """Twelve trials of at most a million steps; ASHA ends those that lag behind."""
    config = DQNConfig.preset("fast", game="pong", total_frames=1_000_000).training(
        lr=tune.loguniform(5e-5, 1e-3),
        target_update_period=tune.choice([500, 1_000, 2_000]),
        updates_per_step=tune.choice([0.25, 0.5]),
    )
    scheduler = ASHAScheduler(
        time_attr="num_env_steps_sampled_lifetime", grace_period=150_000, max_t=1_000_000
    )
    return config, tune.TuneConfig(
        metric=METRIC,
        mode="max",
        num_samples=12,
        max_concurrent_trials=2,
        scheduler=scheduler,
    )
