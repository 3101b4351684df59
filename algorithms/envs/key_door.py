"""A gridworld in which a key has to be fetched before a door opens: one goal after another."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

MAP = (
    "#################",
    "#K    #    #    D",
    "#     #    #    #",
    "#     # S  #    #",
    "#     #    #    #",
    "#          #    #",
    "#     #         #",
    "#################",
)
_MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_CELL = 24  # pixels of a cell in a picture
_COLORS = {"#": (60, 64, 72), " ": (235, 237, 240), "K": (214, 164, 28), "D": (150, 84, 48)}
_AGENT = (31, 111, 235)


class KeyDoor(gym.Env[np.ndarray, np.int64]):
    """Three rooms in a row: the key lies in the far corner of the left one, the door is at the far
    end of the right one, the agent starts in the middle.

    Observation: float32, 1 at the agent's cell (row by row) and, last, 1 while it holds the key;
    else 0. Actions: up, down, left, right; walls, and the door without the key, stay where they
    are. Reward: 1 for going through the door, which ends the episode, else 0; after `max_steps`
    steps the episode is cut. `info` holds `agent`, its (row, column), and `has_key`.

    Args:
        max_steps: Steps of an episode.
        layout: Rows of equal length; `#` wall, `S` start, `K` key, `D` door.
        render_mode: `rgb_array` or None.

    Raises:
        ValueError: The layout is no rectangle, or lacks start, key or door.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": 8,
    }

    def __init__(
        self,
        max_steps: int = 100,
        layout: tuple[str, ...] = MAP,
        render_mode: str | None = None,
    ) -> None:
        if len({len(row) for row in layout}) != 1:
            raise ValueError("layout: its rows are of different lengths")
        places = {c: (r, row.index(c)) for r, row in enumerate(layout) for c in "SKD" if c in row}
        if missing := set("SKD") - set(places):
            raise ValueError(f"layout: has no {sorted(missing)[0]}; it needs S, K and D")
        self.max_steps, self.layout, self.render_mode = max_steps, layout, render_mode
        self.start, self.key, self.door = places["S"], places["K"], places["D"]
        self.shape = len(layout), len(layout[0])
        size = self.shape[0] * self.shape[1] + 1
        self.observation_space = gym.spaces.Box(0, 1, (size,), np.float32)
        self.action_space = gym.spaces.Discrete(len(_MOVES))
        self._agent, self._has_key, self._steps = self.start, False, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Puts the agent to the start and the key back."""
        super().reset(seed=seed)
        self._agent, self._has_key, self._steps = self.start, False, 0
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Moves by a cell; a key that is stepped on is taken."""
        down, right = _MOVES[int(action)]
        row, column = self._agent[0] + down, self._agent[1] + right
        locked = (row, column) == self.door and not self._has_key
        if self.layout[row][column] != "#" and not locked:
            self._agent = row, column
        self._has_key |= self._agent == self.key
        self._steps += 1
        won = self._agent == self.door
        cut = not won and self._steps >= self.max_steps
        return self._observation(), float(won), won, cut, self._info()

    def render(self) -> np.ndarray:
        """The rooms from above, uint8 (rows * 24, columns * 24, 3)."""
        picture = np.zeros((*self.shape, 3), np.uint8)
        for r, row in enumerate(self.layout):
            for c, cell in enumerate(row):
                taken = cell == "K" and self._has_key
                picture[r, c] = _COLORS.get(" " if taken else cell, _COLORS[" "])
        picture[self._agent] = _COLORS["K"] if self._has_key else _AGENT
        large = np.kron(picture, np.ones((_CELL, _CELL, 1), np.uint8))
        if self._has_key:  # the agent with the key in its hand
            r, c = (x * _CELL for x in self._agent)
            large[r + 4 : r + _CELL - 4, c + 4 : c + _CELL - 4] = _AGENT
        return large

    def _observation(self) -> np.ndarray:
        observation = np.zeros(self.observation_space.shape, np.float32)  # type: ignore[arg-type]
        observation[self._agent[0] * self.shape[1] + self._agent[1]] = 1
        observation[-1] = self._has_key
        return observation

    def _info(self) -> dict[str, Any]:
        return {"agent": self._agent, "has_key": self._has_key}
