"""The states of the chain as goals, for both levels as networks (`Chain-v0`)."""

from __future__ import annotations

import numpy as np

from algorithms.envs.chain import NUM_STATES
from algorithms.envs.vector import Moment
from algorithms.hdqn.goals import GoalSpace


class ChainGoals(GoalSpace):
    """Come to one of the six states."""

    names = tuple(f"s{i + 1}" for i in range(NUM_STATES))

    def inputs(self) -> np.ndarray:
        """(6, 6) float32: 1 at the state."""
        return np.eye(NUM_STATES, dtype=np.float32)

    def reached(self, before: Moment, after: Moment, goal: int) -> bool:
        """Whether the step led to the state."""
        return bool(after.observation[goal] == 1)
