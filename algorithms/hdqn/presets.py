"""Named sets of options of h-DQN: the paper, and what learns soonest.

Source: Kulkarni et al. 2016 (arXiv:1604.06057), section 4.2.
"""

from __future__ import annotations

from typing import Any

from algorithms.dqn.presets import choose
from algorithms.hdqn.options import HDQNOptions


def nips2016(**overrides: Any) -> HDQNOptions:
    """The paper's agent for Montezuma's Revenge.

    Left open by the paper and chosen here: how pictures are made, RMSProp's constants, target
    networks and how often both levels learn (2015's of DQN, on which the authors built), how long
    the meta-controller's epsilon falls, and one environment.
    """
    values: dict[str, Any] = dict(
        num_envs_per_env_runner=1,
        frame_skip=4,
        preprocess="resize",
        max_pool=True,
        noop_max=30,
        fire_on_reset=False,
        life_loss_terminal=True,
        network="nature2015",
        double=False,
        dueling=False,
        n_step=1,
        loss="huber",
        target_update_period=10_000,
        updates_per_step=0.25,
        updates_per_call=1,
        overlap=False,
        optimizer="rmsprop",
        lr=2.5e-4,
        optimizer_eps=0.1 / 32,
        learning_starts=50_000,
        goal_epsilon_floor=0.1,
        phase1_frames=2_300_000,
        meta_lr=2.5e-4,
        meta_updates_per_step=0.25,
        meta_target_update_period=10_000,
        meta_learning_starts=1_000,
        meta_epsilon_end=0.1,
        meta_epsilon_decay_frames=1_000_000,
        total_frames=4_300_000,
    )
    return HDQNOptions(**(values | overrides))


def fast(**overrides: Any) -> HDQNOptions:
    """What learns soonest on a small machine: DQN's `fast` on both levels, for games whose goals
    are some tens of steps apart (docs/results/hdqn.md: an hour of Montezuma's Revenge)."""
    values: dict[str, Any] = dict(
        gamma=0.97,
        max_goal_steps=150,
        life_loss_terminal=True,
        max_episode_frames=18_000,  # 5 minutes: who is stuck stays stuck
        epsilon_decay_frames=140_000,
        phase1_frames=160_000,
        meta_epsilon_decay_frames=80_000,
    )
    return HDQNOptions(**(values | overrides))


def gridworld(**overrides: Any) -> HDQNOptions:
    """Small worlds of vectors whose goals are some ten steps apart, such as `KeyDoor-v0`, which it
    solves in 60,000 steps (docs/results/hdqn.md)."""
    values: dict[str, Any] = dict(
        hidden_size=128,
        num_envs_per_env_runner=8,
        n_step=3,
        gamma=0.95,  # a goal is soon reached, or hardly worth it
        lr=5e-4,
        updates_per_step=1.0,
        target_update_period=250,
        learning_starts=500,
        replay_capacity=50_000,
        max_goal_steps=50,
        epsilon_decay_frames=30_000,
        phase1_frames=30_000,
        meta_updates_per_step=0.1,
        meta_target_update_period=100,
        meta_epsilon_decay_frames=10_000,
        eval_period_frames=20_000,
        total_frames=60_000,
    )
    return HDQNOptions(**(values | overrides))


PRESETS = {"fast": fast, "gridworld": gridworld, "nips2016": nips2016}


def preset(name: str, **overrides: Any) -> HDQNOptions:
    """The options of a preset, `fast`, `gridworld` or `nips2016`, some of them overridden.

    Raises:
        UserError: for an unknown preset, option or value, naming the nearest.
    """
    return choose(PRESETS, HDQNOptions, name, overrides)
