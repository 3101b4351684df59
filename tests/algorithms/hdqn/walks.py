"""Walks through the first room of Montezuma's Revenge, found by search, frame by frame the same."""

from collections.abc import Iterator

import numpy as np

from algorithms.envs import AtariRamFrames
from algorithms.envs.vector import FrameStep, Moment

_ACTIONS = {
    "-": "NOOP",
    "F": "FIRE",
    "U": "UP",
    "D": "DOWN",
    "L": "LEFT",
    "R": "RIGHT",
    "FL": "LEFTFIRE",
    "FR": "RIGHTFIRE",
}

TO_ROPE = "-8 FR30"
TO_LOWER_FLOOR = f"{TO_ROPE} D5 FR25 FL4 D24"
"""By the rope and the right ladder."""
TO_KEY = f"{TO_LOWER_FLOOR} F5 L6 FL3 R5 FL6 U7 F2 L6 F2 R4 FL54 U25 FL10"
"""Over the skull, up the left ladder, and a leap."""
TO_START = f"{TO_KEY} R4 D21 FR2 F12 FR1 U4 FR4 -3 R7 FR1 R5 FR2 U12 FL1 L6 FL4 U19"
"""All the way back, with the key."""
TO_LEFT_DOOR = f"{TO_START} R2 FL1 -5 FL13"
TO_RIGHT_DOOR = f"{TO_START} R1 FR15"
TO_ROOM_ON_THE_LEFT = f"{TO_LEFT_DOOR} -2 L8"


def start() -> AtariRamFrames:
    """The game, where the walks begin: four emulator frames a step, nothing drawn by chance."""
    frames = AtariRamFrames(
        "montezuma_revenge", 1, noop_max=0, fire_on_reset=False, full_action_space=True
    )
    frames.reset(np.array([1]))
    return frames


def steps(frames: AtariRamFrames, walk: str) -> Iterator[tuple[Moment, FrameStep, Moment]]:
    """Walks: what there was before each step, what it brought, and what there was after."""
    (before,) = frames.moments(screen=True)
    for run in walk.split():
        name = run.rstrip("0123456789")
        action = frames.action_names.index(_ACTIONS[name])
        for _ in range(int(run[len(name) :])):
            frames.send(np.array([action]))
            step = frames.recv()
            (after,) = frames.moments(screen=True)
            yield before, step, after
            before = after
