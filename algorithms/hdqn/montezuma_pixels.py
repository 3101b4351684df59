"""Montezuma's Revenge from its picture: where the agent and the objects of the first room are.

For what `montezuma` reads in the console's memory, found in the pixels instead, as a game needs it
whose memory is not mapped.

Limits: the agent is known by its hat and face, seen from the side (walking, jumping, falling) and
from behind (on ladders and the rope). One that died, upside down, is not there. The picture is that
of the frame before what the memory holds, so that both differ by a step of the agent's where it
moves, and where it is put at a rope, a ladder or the start. Other rooms have objects of other
places, shapes and colours: in them the agent alone is found.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from algorithms.envs.vector import Moment
from algorithms.hdqn.boxes import Box
from algorithms.hdqn.detector import PixelDetector, Sprite, shape
from algorithms.hdqn.montezuma import OBJECTS, MontezumaGoals

# RGB.
_RED, _SKIN, _HAT, _GOLD = (200, 72, 72), (228, 111, 111), (210, 182, 86), (232, 204, 99)
_WALL, _BONE = (66, 158, 130), (236, 236, 236)

_FIELD = Box(0, 47, 160, 133)
"""Below the lives, which wear the agent's hat, and the score, and above the ground."""
_AGENT_SIZE = (8, 19)
"""What all poses have: walking, the hat is a row lower in every second picture, the feet are not,
and a taller one would reach the ladder under the floor."""

_FROM_THE_SIDE = shape(
    "...###..",
    "...###..",
    "...###..",
    "########",
    "########",
    "..#.##..",
    "..####..",
    "...###..",
)
_FROM_BEHIND = shape(
    "..###..",
    "..###..",
    "..###..",
    "#######",
    "#######",
    ".#####.",
    "..###..",
    ".#####.",
)
_KEY = shape(
    "..###..",
    ".#####.",
    "##.#.##",
    "#.....#",
    "##.#.##",
    ".#####.",
    "..###..",
    "..###..",
    "...#...",
    "...#...",
    "...#...",
    "..##...",
    "...#...",
    "..##...",
    "...#...",
)


def _ladder(box: Box) -> np.ndarray:
    """The platform's three rows, then two of a rung in every seven."""
    pattern = np.ones((int(box.height), int(box.width)), np.uint8)
    below = np.arange(len(pattern)) - 3
    pattern[(below >= 0) & (below % 7 < 5), 4:-4] = 0
    return pattern


def _door(box: Box) -> np.ndarray:
    """Every second row."""
    pattern = np.zeros((int(box.height), int(box.width)), np.uint8)
    pattern[::2] = 1
    return pattern


@cache
def montezuma_detector() -> PixelDetector:
    """Finds the agent, the skull and the objects of the first room that are there."""
    sprites = [
        Sprite(
            name="agent",
            colors=(_RED, _SKIN, _HAT),
            region=_FIELD,
            shapes=(_FROM_THE_SIDE, _FROM_THE_SIDE[:, ::-1].copy(), _FROM_BEHIND),
            size=_AGENT_SIZE,
        ),
        Sprite(name="skull", colors=(_BONE,), region=_FIELD),
        Sprite(name="key", colors=(_GOLD,), region=OBJECTS["key"], shapes=(_KEY,)),
    ]
    for name, box in OBJECTS.items():
        if "door" in name:
            sprites.append(Sprite(name=name, colors=(_GOLD,), region=box, shapes=(_door(box),)))
        elif "ladder" in name:
            sprites.append(
                Sprite(
                    name=name,
                    colors=(_WALL,),
                    region=box,
                    shapes=(_ladder(box),),
                    least_agreement=0.85,  # the agent on it covers a tenth
                )
            )
        elif name == "rope":
            whole = np.ones((int(box.height), int(box.width)), np.uint8)
            sprites.append(
                Sprite(
                    name=name,
                    colors=(_GOLD,),
                    region=box,
                    shapes=(whole,),
                    least_agreement=0.4,  # the agent on it covers half
                )
            )
    return PixelDetector(sprites)


def pixel_entities(moment: Moment) -> dict[str, Box]:
    """As `montezuma.entities`, of the picture; an agent that is not seen is missing."""
    info = moment.info
    if "entities" not in info:  # a moment ends one step and begins the next: looked at once
        info["entities"] = montezuma_detector().find(info["screen"])
    return info["entities"]


class MontezumaPixelGoals(MontezumaGoals):
    """The same goals, reached where the picture says so; see `MontezumaGoals`."""

    needs_screen = True
    find_entities = staticmethod(pixel_entities)
