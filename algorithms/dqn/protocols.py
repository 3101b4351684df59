"""How much is played to measure a policy, and how: whole episodes, or as the papers did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from algorithms.dqn.options import DQNOptions
from arcadia.errors import UserError

Player = Literal["policy", "controller", "random"]
PLAYERS: tuple[Player, ...] = ("policy", "random")
"""Who plays: the policy, and one whose every action is random."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is played by the policy, and likewise by a random player beside it."""

    name: str
    epsilon: float | None = None
    """The policy's chance of a random action; None: the run's `epsilon_eval`."""
    episodes: int | None = None
    """Whole episodes. Either these or `steps`."""
    steps: int | None = None
    """Steps of one environment, whatever episodes end in them."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the run that are played with other values."""
    atari_only: bool = False

    def applied(self, options: DQNOptions) -> DQNOptions:
        """A run's options as they are played.

        Raises:
            UserError: the protocol is for Atari and the run plays something else.
        """
        if self.atari_only and options.game is None:
            raise UserError(
                f"protocol {self.name}: is for Atari, whose no-op action and frames it counts; "
                f"{options.env} takes episodes or nips2013"
            )
        epsilon = options.epsilon_eval if self.epsilon is None else self.epsilon
        return dataclasses.replace(options, **self.options, epsilon_eval=epsilon)

    def described(self, options: DQNOptions) -> str:
        """One line for people; takes the options as `applied` gives them."""
        name = "" if self.name == "episodes" else f"{self.name}, "
        how = f"epsilon {options.epsilon_eval:g}"
        if self.steps is not None:
            return f"{name}{self.steps:,} steps, {how}"
        amount = "1 episode" if self.episodes == 1 else f"{self.episodes} episodes"
        if self.options:
            minutes = options.max_episode_frames / 3_600
            how += f", up to {options.noop_max} no-op starts, {minutes:g} minutes at most"
        return f"{name}{amount}, {how}"


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one runner plays by itself."""

    player: Player
    index: int
    """Place among the shares of its player."""
    seed: int
    num_envs: int
    episodes: int | None = None
    steps: int | None = None


def episodes(number: int = 10, epsilon: float | None = None) -> Protocol:
    """Whole episodes, played as in training but for epsilon."""
    return Protocol(name="episodes", episodes=number, epsilon=epsilon)


def nips2013(steps: int = 10_000) -> Protocol:
    """Mnih et al. 2013: epsilon 0.05 for a fixed number of steps.

    The mean is over the episodes that ended; the score of one cut by the last step counts only
    where none ended. 10,000 steps are those of figure 2's caption; table 1's caption says "a fixed
    number" and no more. As the paper names no random starts, episodes start as in training.
    """
    return Protocol(name="nips2013", epsilon=0.05, steps=steps)


def nature2015() -> Protocol:
    """Mnih et al. 2015, Methods ("Evaluation procedure"): 30 episodes of at most 5 minutes (18,000
    emulator frames), each opened by up to 30 no-op actions, epsilon 0.05."""
    return Protocol(
        name="nature2015",
        epsilon=0.05,
        episodes=30,
        options={"noop_max": 30, "max_episode_frames": 18_000},
        atari_only=True,
    )


def shares(
    protocol: Protocol,
    *,
    seed: int,
    num_runners: int,
    num_envs: int,
    players: Sequence[Player] = PLAYERS,
) -> list[Share]:
    """Splits what a protocol plays among runners.

    Episodes are split evenly. Steps are not: two stretches of half the length would leave out the
    long episodes of one whole stretch.

    Args:
        protocol: What is played.
        seed: At least 0; each share of a player gets one of its own, the players the same ones.
        num_runners: At most so many shares a player, at least 1.
        num_envs: Environments a runner steps side by side, at most; one where steps are counted.
        players: Who plays.

    Returns:
        The shares of each player, in their order.
    """
    if protocol.episodes is None:
        parts: list[dict[str, Any]] = [{"steps": protocol.steps, "num_envs": 1}]
    else:
        runners = min(num_runners, protocol.episodes)
        each, more = divmod(protocol.episodes, runners)
        counts = [each + (i < more) for i in range(runners)]
        parts = [{"episodes": count, "num_envs": min(count, num_envs)} for count in counts]
    return [
        Share(player=player, index=i, seed=_derived(seed, i), **part)
        for player in players
        for i, part in enumerate(parts)
    ]


def _derived(seed: int, index: int) -> int:
    """A seed that neighbouring seeds and indices do not share, below 2**31."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) >> 1
