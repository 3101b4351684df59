"""How often goals were tried and reached, and how much chance the controller leaves for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

WINDOW = 100
"""Latest tries of a goal that its success rate is of."""


class Outcome(NamedTuple):
    """What became of one goal that was chosen."""

    goal: int
    reached: bool


class GoalStatistics:
    """Counts what becomes of the goals that are chosen.

    Args:
        names: Of the goals, G.

    Attributes:
        tried: (G,) int64, tries that came to an end: the goal was reached, given up, or the episode
            was over.
        reached: (G,) int64, those that reached it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.tried = np.zeros(len(names), np.int64)
        self.reached = np.zeros(len(names), np.int64)
        self._latest = np.zeros((len(names), WINDOW), bool)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Counts outcomes, in the order in which they came."""
        for goal, reached in outcomes:
            self._latest[goal, self.tried[goal] % WINDOW] = reached
            self.tried[goal] += 1
            self.reached[goal] += reached

    @property
    def success_rate(self) -> np.ndarray:
        """(G,) float64, of the latest `WINDOW` tries; 0 of a goal that was never tried."""
        return self._latest.sum(axis=1) / np.clip(self.tried, 1, WINDOW)

    def rows(self, epsilon: np.ndarray) -> list[list[Any]]:
        """A table for people: name, tried, reached, success rate and epsilon of each goal."""
        columns = (self.tried, self.reached, self.success_rate, epsilon)
        numbers = (column.tolist() for column in columns)
        return [[*row] for row in zip(self.names, *numbers, strict=True)]

    def get_state(self) -> dict[str, Any]:
        """All counts."""
        return {
            "names": list(self.names),
            "tried": self.tried.copy(),
            "reached": self.reached.copy(),
            "latest": self._latest.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave.

        Raises:
            ValueError: The state is of other goals.
        """
        if tuple(state["names"]) != self.names:
            raise ValueError(f"goals {state['names']}: the run's are {list(self.names)}")
        self.tried[:], self.reached[:] = state["tried"], state["reached"]
        self._latest[:] = state["latest"]


def wilson_lower_bound(reached: int, tried: int) -> float:
    """Low end of the 95 % confidence interval of a success rate (Wilson 1927), 0 to 1.

    Args:
        reached: Successes.
        tried: Of so many tries; of none, it is 0.
    """
    if not tried:
        return 0.0
    from scipy.stats import binomtest

    return float(binomtest(reached, tried).proportion_ci(method="wilson").low)


def goal_epsilon(success_rate: np.ndarray, most: float, floor: float) -> np.ndarray:
    """Chance of a random action while a goal is pursued: what it still fails by, within bounds.

    Kulkarni et al. 2016, section 3: it falls with training, and sooner for a goal that is reached
    often. Without the first, a goal that fails would be pursued at random for ever.

    Args:
        success_rate: (G,) float, 0 to 1.
        most: Greatest chance (0 to 1), of a schedule over steps.
        floor: Least chance (0 to 1), which wins; the paper's is 0.1.

    Returns:
        (G,) float64.
    """
    rate = np.asarray(success_rate, np.float64)
    return np.maximum(floor, np.minimum(most, 1.0 - rate))
