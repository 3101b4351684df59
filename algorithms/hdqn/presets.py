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
    """What learns soonest on a small machine: DQN's `fast` on both levels."""
    return HDQNOptions(**overrides)


PRESETS = {"fast": fast, "nips2016": nips2016}


def preset(name: str, **overrides: Any) -> HDQNOptions:
    """The options of a preset, `fast` or `nips2016`, some of them overridden.

    Raises:
        UserError: for an unknown preset, option or value, naming the nearest.
    """
    return choose(PRESETS, HDQNOptions, name, overrides)
