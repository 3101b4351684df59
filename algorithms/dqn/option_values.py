"""Which values each option of DQN may have, by itself."""

from __future__ import annotations

from typing import Any

from arcadia.errors import UserError

_CHOICES: dict[str, tuple[str, ...]] = {
    "emulator": ("vector", "ram"),
    "preprocess": ("crop", "resize"),
    "network": ("nips2013", "nature2015"),
    "loss": ("squared", "huber"),
    "lr_schedule": ("constant", "linear", "cosine"),
    "epsilon_schedule": ("linear", "exponential"),
    "save_replay": ("last", "every", "none"),
    "optimizer": ("adam", "rmsprop"),
    "autocast": ("none", "bf16", "auto"),
    "replay_compression": ("lz4", "none"),
    "frames_are": ("seen", "emulated"),
}
_INF = float("inf")
_RANGES: dict[str, tuple[float, float]] = {
    "num_envs_per_env_runner": (1, 4096),
    "num_env_runners": (0, 100_000),
    "num_replay_shards": (1, 10_000),
    "num_learners": (0, 1_024),
    "num_cpus_per_replay_shard": (0, 1_024),
    "rollout_fragment_length": (1, 100_000),
    "weights_period": (1, _INF),
    "learner_snapshot_period": (1, _INF),
    "frame_skip": (1, 60),
    "frame_stack": (1, 16),
    "crop_top": (0, 26),
    "sticky_actions": (0, 1),
    "noop_max": (0, _INF),
    "max_episode_frames": (1, _INF),
    "hidden_size": (1, _INF),
    "n_step": (1, 100),
    "gamma": (0, 1),
    "num_atoms": (1, 1_001),
    "v_min": (-1e9, 1e9),
    "v_max": (-1e9, 1e9),
    "target_update_period": (0, _INF),
    "target_update_rate": (1e-6, 1),
    "batch_size": (1, _INF),
    "updates_per_step": (1e-6, 1e3),
    "updates_per_call": (1, 10_000),
    "lr": (1e-12, 10),
    "lr_end": (0, 10),
    "lr_decay_frames": (1, _INF),
    "max_gradient_norm": (1e-9, _INF),
    "priority_exponent": (0, 10),
    "importance_exponent_start": (0, 1),
    "importance_exponent_end": (0, 1),
    "importance_exponent_frames": (1, _INF),
    "eval_period_frames": (0, _INF),
    "eval_episodes": (1, 100_000),
    "optimizer_eps": (0, 1),
    "rmsprop_decay": (0, 1),
    "num_gpus_per_learner": (0, 64),
    "replay_capacity": (1, _INF),
    "replay_max_bytes": (1, _INF),
    "learning_starts": (0, _INF),
    "epsilon_start": (0, 1),
    "epsilon_end": (0, 1),
    "epsilon_decay_frames": (0, _INF),
    "epsilon_eval": (0, 1),
    "total_frames": (1, _INF),
    "steps_per_iteration": (1, _INF),
    "held_out_states": (0, 100_000),
    "held_out_seed": (0, 2**31 - 1),
}


def check_values(options: Any) -> None:
    """Refuses values that are out of their range.

    Args:
        options: `DQNOptions`.

    Raises:
        UserError: naming option, value and range.
    """
    for name, allowed in _CHOICES.items():
        value = getattr(options, name)
        if value not in allowed:
            raise UserError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
    for name, allowed in _RANGES.items():
        check_range(name, getattr(options, name), *allowed)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Refuses a number that is out of its range; None passes.

    Raises:
        UserError: naming option, value and range.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{name} {value!r}: must be a number")
    if not low <= value <= high:
        raise UserError(f"{name} {value}: must be {_interval(low, high)}")


def _interval(low: float, high: float) -> str:
    return f"at least {low:g}" if high == _INF else f"between {low:g} and {high:g}"
