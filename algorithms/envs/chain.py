"""The six-state decision process of Kulkarni et al. 2016, section 4.1: far ahead, then back."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

NUM_STATES = 6
START = 1  # s2, counted from 0
_SUCCESS = 0.5
_REWARD, _SMALL_REWARD = 1.0, 0.01


class Chain:
    """States s1 to s6 in a row, here 0 to 5; an episode starts in s2 and ends in s1.

    "Left" goes left. "Right" goes right with probability 0.5 and else left; from s6, right of which
    there is nothing, it always goes left. The end pays 1 if s6 was visited in the episode, else
    0.01: a reward that depends on more than the state.

    Attributes:
        state: 0 to 5.
        has_been_far: Whether s6 was visited in this episode.
    """

    __slots__ = ("has_been_far", "state")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> int:
        """Starts an episode; the state."""
        self.state, self.has_been_far = START, False
        return START

    def step(self, right: int, luck: float) -> int:
        """Moves.

        Args:
            right: 1 for "right", 0 for "left".
            luck: From 0 to 1, drawn uniformly; "right" succeeds below 0.5.

        Returns:
            The state, 0 where the episode ended.
        """
        if right and luck < _SUCCESS and self.state < NUM_STATES - 1:
            self.state += 1
            if self.state == NUM_STATES - 1:
                self.has_been_far = True
        else:
            self.state -= 1
        return self.state

    @property
    def final_reward(self) -> float:
        """What the end of the episode pays."""
        return _REWARD if self.has_been_far else _SMALL_REWARD


class ChainEnv(gym.Env[np.ndarray, np.int64]):
    """The same as a Gymnasium environment.

    Observation: (6,) float32, 1 at the state and else 0; whether s6 was visited is not in it.
    Actions: left, right. Reward: 1 or 0.01 at the episode's end, else 0.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (NUM_STATES,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self.chain = Chain()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Back to s2."""
        super().reset(seed=seed)
        self.chain.reset()
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One move."""
        is_over = self.chain.step(int(action), float(self.np_random.random())) == 0
        reward = self.chain.final_reward if is_over else 0.0
        return self._observation(), reward, is_over, False, {}

    def _observation(self) -> np.ndarray:
        return np.eye(NUM_STATES, dtype=np.float32)[self.chain.state]
