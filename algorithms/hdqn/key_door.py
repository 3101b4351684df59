"""Goals of the gridworld with key and door: the worked example of a `GoalSpace`."""

from __future__ import annotations

import numpy as np

from algorithms.envs.key_door import KeyDoor
from algorithms.envs.vector import Moment
from algorithms.hdqn.goals import GoalSpace


class KeyDoorGoals(GoalSpace):
    """Reach the key, the door, or one of the gaps between the rooms.

    The door counts as reached by standing beside it, too: that is all there is to it without the
    key, and with the key the next step goes through it.
    """

    names = ("key", "door", "left gap", "right gap")
    _places = ((1, 1), KeyDoor().door, (5, 6), (6, 11))

    def inputs(self) -> np.ndarray:
        """(4, 4) float32: 1 at the goal's number."""
        return np.eye(len(self.names), dtype=np.float32)

    def picture_mask(self, goal: int, shape: tuple[int, int]) -> np.ndarray:
        """The goal's cell."""
        cells = np.zeros(KeyDoor().shape, np.uint8)
        cells[self._places[goal]] = 255
        size = shape[0] // cells.shape[0], shape[1] // cells.shape[1]
        return np.kron(cells, np.ones(size, np.uint8))

    def reached(self, before: Moment, after: Moment, goal: int) -> bool:
        """Whether the agent came to the place by this step."""
        place = self._places[goal]
        came = after.info["agent"] == place and before.info["agent"] != place
        if self.names[goal] != "door":
            return came
        beside = (place[0], place[1] - 1)
        return came or (after.info["agent"] == beside and before.info["agent"] != beside)
