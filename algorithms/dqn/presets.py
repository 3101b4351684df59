"""Named sets of options: the papers, and what learns soonest.

Source: Mnih et al. 2013 (arXiv:1312.5602), sections 4 and 5; Mnih et al. 2015, Methods and Extended
Data Table 1; Hessel et al. 2018, *Rainbow* (arXiv:1710.02298), table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from algorithms.dqn.options import AnyOptions, DQNOptions, check_option_names
from arcadia.errors import UserError, did_you_mean


def nips2013(**overrides: Any) -> DQNOptions:
    """The 2013 paper to the letter.

    Left open by the paper and chosen here: gamma, learning rate and RMSProp's constants (2015's;
    the loss is a mean over the minibatch where 2015's code sums, and torch adds epsilon outside the
    root where 2015's adds 0.01 inside, hence sqrt(0.01) / 32), the crop's offset, the number of
    random frames before learning, the absence of no-op starts, and one environment.
    """
    skip = 3 if overrides.get("game") == "space_invaders" else 4
    values: dict[str, Any] = dict(
        num_envs_per_env_runner=1,
        frame_skip=skip,
        preprocess="crop",
        max_pool=False,
        noop_max=0,
        fire_on_reset=False,
        network="nips2013",
        double=False,
        dueling=False,
        n_step=1,
        loss="squared",
        target_update_period=0,
        batch_size=32,
        updates_per_step=1.0,
        updates_per_call=1,
        overlap=False,
        optimizer="rmsprop",
        lr=2.5e-4,
        optimizer_eps=0.1 / 32,
        replay_capacity=1_000_000,
        learning_starts=5_000,
        epsilon_end=0.1,
        epsilon_decay_frames=1_000_000,
        total_frames=10_000_000,
    )
    return DQNOptions(**(values | overrides))


def nature2015(**overrides: Any) -> DQNOptions:
    """The 2015 paper: target network, clipped error, larger network, one update per four steps."""
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
        epsilon_end=0.1,
        epsilon_decay_frames=1_000_000,
        total_frames=50_000_000,
    )
    return DQNOptions(**(values | overrides))


def fast(**overrides: Any) -> DQNOptions:
    """What learns soonest on a small machine: the 2013 network, double, dueling, 3-step, Adam."""
    return DQNOptions(**overrides)


def rainbow(**overrides: Any) -> DQNOptions:
    """Rainbow (Hessel et al. 2018, table 1) without its noisy layers: epsilon explores instead, as
    in the paper's ablation. The Atari protocol is 2015's; frames are counted as seen."""
    values: dict[str, Any] = dict(
        num_envs_per_env_runner=1,
        preprocess="resize",
        max_pool=True,
        fire_on_reset=False,
        life_loss_terminal=True,
        network="nature2015",
        double=True,
        dueling=True,
        n_step=3,
        num_atoms=51,
        target_update_period=2_000,
        updates_per_call=1,
        overlap=False,
        lr=6.25e-5,
        optimizer_eps=1.5e-4,
        prioritized=True,
        learning_starts=20_000,
        epsilon_end=0.01,
        epsilon_decay_frames=62_500,
        epsilon_eval=0.001,
        total_frames=50_000_000,
    )
    return DQNOptions(**(values | overrides))


PRESETS = {"fast": fast, "nips2013": nips2013, "nature2015": nature2015, "rainbow": rainbow}


def preset(name: str, **overrides: Any) -> DQNOptions:
    """The options of a preset, some of them overridden.

    Args:
        name: `fast`, `nips2013`, `nature2015` or `rainbow`.
        **overrides: any options; some defaults depend on `game` (2013's frame skip).

    Raises:
        UserError: for an unknown preset, option or value, naming the nearest.
    """
    return choose(PRESETS, DQNOptions, name, overrides)


def choose(
    presets: Mapping[str, Callable[..., AnyOptions]],
    cls: type[AnyOptions],
    name: str,
    overrides: Mapping[str, Any],
) -> AnyOptions:
    """The options of one of several presets, which all are of one class; see `preset`."""
    if name not in presets:
        raise UserError(
            f"preset {name!r}: must be one of {', '.join(presets)}{did_you_mean(name, presets)}"
        )
    check_option_names(overrides, cls)
    return presets[name](**overrides)
