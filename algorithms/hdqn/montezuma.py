"""Goals of Montezuma's Revenge: the objects of its first room, found in the console's memory.

Kulkarni et al. 2016, section 4.2 and figure 4: the key, the doors, the ladders (and the rope).
Positions are pixels of the console's own picture, 160 wide and 210 high, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from algorithms.envs.atari import FRAME_SIZE, SCALED_HEIGHT, SCREEN
from algorithms.envs.vector import Moment
from algorithms.hdqn.boxes import Box, is_near, overlaps
from algorithms.hdqn.critic import PredicateGoals

if TYPE_CHECKING:
    from algorithms.hdqn.options import HDQNOptions

# Addresses in the console's memory.
_ROOM, _PLAYER_X, _PLAYER_Y, _ITEM, _LEFT_DOOR, _RIGHT_DOOR = 3, 42, 43, 49, 26, 28
_FIRST_ROOM, _KEY_LIES, _DOOR_OPEN = 1, 4, 117
_AGENT_WIDTH, _AGENT_HEIGHT = 8, 20

OBJECTS = {
    "key": Box(13, 99, 7, 15),
    "left door": Box(20, 54, 4, 37),
    "right door": Box(136, 54, 4, 37),
    "middle ladder": Box(72, 93, 16, 42),
    "left ladder": Box(16, 136, 16, 45),
    "right ladder": Box(128, 136, 16, 45),
    "rope": Box(112, 96, 1, 39),
}
"""Of the first room, in the order of their goals' numbers."""


def agent_box(ram: np.ndarray) -> Box:
    """Where the agent is.

    Args:
        ram: (128,) uint8, the console's memory.
    """
    return Box(float(ram[_PLAYER_X]) - 1, 308 - float(ram[_PLAYER_Y]), _AGENT_WIDTH, _AGENT_HEIGHT)


def entities(moment: Moment) -> dict[str, Box]:
    """The agent, and in the first room its objects: a key that was taken and a door that is open
    are not there."""
    ram = moment.info["ram"]
    there = {"agent": agent_box(ram)}
    if ram[_ROOM] != _FIRST_ROOM:
        return there
    there |= OBJECTS
    if ram[_ITEM] != _KEY_LIES:
        del there["key"]
    for name, address in (("left door", _LEFT_DOOR), ("right door", _RIGHT_DOOR)):
        if ram[address] == _DOOR_OPEN:
            del there[name]
    return there


_TESTS: dict[str, Callable[[Box, Box], bool]] = {"overlap": overlaps, "distance": is_near}


class MontezumaGoals(PredicateGoals):
    """The agent reaches one of the seven objects of the first room.

    Args:
        preprocess: How pictures are made, `crop` or `resize`; the masks lie over them.
        crop_top: First row kept when cropping.
        reached_by: `overlap` of the boxes, or `distance` of their centres as in the authors' code.
    """

    find_entities: Callable[[Moment], Mapping[str, Box]] = staticmethod(entities)

    def __init__(
        self,
        preprocess: str = "crop",
        crop_top: int = 18,
        reached_by: Literal["overlap", "distance"] = "overlap",
    ) -> None:
        holds = _TESTS[reached_by]
        masks = [mask_of(box, preprocess, crop_top) for box in OBJECTS.values()]
        super().__init__(
            [("agent", "reaches", name) for name in OBJECTS],
            self.find_entities,
            # Came to it: one who stands there already has to leave first.
            {"reaches": lambda a, b, c, d: holds(c, d) and not holds(a, b)},
            np.stack(masks),
        )

    @classmethod
    def make(cls, options: HDQNOptions) -> Self:
        """For the pictures that the options ask for."""
        return cls(options.preprocess, options.crop_top, options.reached_by)


def mask_of(box: Box, preprocess: str, crop_top: int) -> np.ndarray:
    """A box under the agent's preprocessing: (84, 84) uint8, 255 where it is, at least a pixel."""
    height = SCALED_HEIGHT if preprocess == "crop" else FRAME_SIZE
    scale_x, scale_y = FRAME_SIZE / SCREEN[1], height / SCREEN[0]
    mask = np.zeros((height, FRAME_SIZE), np.uint8)
    left, right = _span(box.x * scale_x, (box.x + box.width) * scale_x)
    top, bottom = _span(box.y * scale_y, (box.y + box.height) * scale_y)
    mask[top:bottom, left:right] = 255
    return mask[crop_top : crop_top + FRAME_SIZE] if preprocess == "crop" else mask


def _span(start: float, end: float) -> tuple[int, int]:
    """Whole pixels, the nearest ones and at least one, of a stretch."""
    first = round(start)
    return first, max(round(end), first + 1)
