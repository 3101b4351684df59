"""Catch: a ball falls, a paddle catches it. The smallest task that is learnt from pixels."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np


class Catch(gym.Env[np.ndarray, np.int64]):
    """A ball falls straight down from a random column; the paddle at the bottom moves by one.

    Observation: (84, 84) uint8, black with white squares. Actions: left, stay, right. Reward: 1 for
    a catch and -1 for a miss, at the episode's only end, after `grid` - 1 steps.

    Args:
        grid: rows and columns of the field; divides 84.
        render_mode: `rgb_array` or None.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": 8,
    }

    def __init__(self, grid: int = 12, render_mode: str | None = None) -> None:
        if 84 % grid:
            raise ValueError(f"grid {grid}: must divide 84, as 7, 12, 14 and 21 do")
        self.grid = grid
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)
        self.action_space = gym.spaces.Discrete(3)
        self._ball = (0, 0)
        self._paddle = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Drops a new ball; the paddle starts in the middle."""
        super().reset(seed=seed)
        self._ball = (0, int(self.np_random.integers(self.grid)))
        self._paddle = self.grid // 2
        return self._picture(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Moves the paddle, then lets the ball fall by one row."""
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.grid - 1)
        row, column = self._ball
        self._ball = (row + 1, column)
        landed = row + 1 == self.grid - 1
        reward = (1.0 if column == self._paddle else -1.0) if landed else 0.0
        return self._picture(), reward, landed, False, {}

    def render(self) -> np.ndarray:
        """(84, 84, 3) uint8 picture of the field."""
        return np.repeat(self._picture()[:, :, None], 3, axis=2)

    def _picture(self) -> np.ndarray:
        field = np.zeros((self.grid, self.grid), np.uint8)
        field[self._ball] = 255
        field[self.grid - 1, self._paddle] = 255
        return np.kron(field, np.ones((84 // self.grid, 84 // self.grid), np.uint8))
