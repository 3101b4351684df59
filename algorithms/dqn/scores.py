"""Scores of an evaluation's episodes, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.dqn.protocols import Player


@dataclass(frozen=True, kw_only=True, slots=True)
class Game:
    """One episode of an evaluation."""

    player: Player
    share: int
    index: int
    """Place among the episodes of its share, in the order of their starts."""
    return_: float
    """Sum of the environment's own rewards."""
    length: int
    """Steps."""
    ended: bool = True
    """False when the steps ran out in mid-game."""
    goals: tuple[tuple[int, bool], ...] = ()
    """As `Episode.goals`."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of episodes, in the game's own points."""

    returns: list[float]
    lengths: list[int]
    ended: bool = True
    """False when no episode ended in the steps played: the only score is then the one reached."""

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(np.mean(self.returns))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; nan for one episode."""
        return standard_error(self.returns)

    @property
    def best(self) -> float:
        """Best score."""
        return float(np.max(self.returns))

    @property
    def mean_length(self) -> float:
        """Mean steps of an episode."""
        return float(np.mean(self.lengths))


def standard_error(values: Sequence[float]) -> float:
    """Standard error of a mean: sample deviation over the root of the number; nan for one value."""
    if len(values) < 2:
        return float("nan")
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def scores_of(games: Sequence[Game], player: Player) -> Scores:
    """A player's scores, in the order of shares and starts; cut games only where none ended."""
    own = sorted((g for g in games if g.player == player), key=lambda g: (g.share, g.index))
    ended = [game for game in own if game.ended]
    counted = ended or own
    return Scores(
        returns=[game.return_ for game in counted],
        lengths=[game.length for game in counted],
        ended=bool(ended),
    )
