"""Rectangles of a game's picture, in which the entities of a goal stand, and how they may meet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle in pixels."""

    x: float
    """Of its left edge."""
    y: float
    """Of its upper edge."""
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """x and y."""
        return self.x + self.width / 2, self.y + self.height / 2


NEAR_PX = 9.0
"""Distance of the centres, in pixels, below which the authors' code counts a goal as reached."""


def overlaps(a: Box, b: Box) -> bool:
    """Whether two boxes have a point in common."""
    return (
        a.x < b.x + b.width
        and b.x < a.x + a.width
        and a.y < b.y + b.height
        and b.y < a.y + a.height
    )


def is_near(a: Box, b: Box) -> bool:
    """Whether the centres of two boxes are less than `NEAR_PX` apart."""
    return float(np.hypot(*np.subtract(a.center, b.center))) < NEAR_PX
