"""Finds entities in the picture of a game whose memory nobody has mapped.

A sprite is its colours and its shape: the pixels of its colours become a mask, and the shape is
looked for in that (OpenCV's template matching). Where it fits best, and well enough, the sprite is.

Limits: a sprite of which too much is covered, or which is drawn in other colours than those given,
is not found, nor is a pose that looks like none that was given; of two that look alike one is.
Pictures are a console's own, with exact colours: not scaled, not compressed, no maximum of two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from algorithms.hdqn.boxes import Box
from arcadia.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """What an entity looks like."""

    name: str
    colors: tuple[tuple[int, int, int], ...]
    """RGB, 0 to 255: those of its pixels."""
    region: Box
    """Where in the picture it may be."""
    shapes: tuple[np.ndarray, ...] = ()
    """(h, w) uint8, 1 where a pixel has one of the colours and else 0: its poses, or the part of it
    that they share; see `shape`. None: it is all that has its colours."""
    size: tuple[int, int] | None = None
    """Width and height of its box, which hangs from the middle of the shape's upper edge; by
    default the shape's own."""
    least_agreement: float = 0.9
    """Share of the shape's pixels that have to be as they should (above 0, at most 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.least_agreement <= 1:
            raise UserError(
                f'sprite "{self.name}": least_agreement {self.least_agreement}: must be above 0 '
                "and at most 1"
            )
        if not self.colors:
            raise UserError(f'sprite "{self.name}": has no colours; give at least one')
        for pose in self.shapes:
            height, width = pose.shape
            if height > self.region.height or width > self.region.width:
                raise UserError(
                    f'sprite "{self.name}": a shape of {width}x{height} pixels; its region has '
                    f"{self.region.width:g}x{self.region.height:g}"
                )


def shape(*rows: str) -> np.ndarray:
    """A shape drawn in characters: (h, w) uint8, 0 where there is a dot and else 1."""
    return np.array([[character != "." for character in row] for row in rows], np.uint8)


class PixelDetector:
    """Finds sprites.

    Args:
        sprites: Each of another name.
    """

    def __init__(self, sprites: Iterable[Sprite]) -> None:
        self.sprites = tuple(sprites)
        names = [sprite.name for sprite in self.sprites]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f'sprite "{twice[0]}": is there twice; give each its own name')

    def find(self, picture: np.ndarray) -> dict[str, Box]:
        """Where the sprites are; one that is not seen is missing.

        Args:
            picture: (H, W, 3) uint8 RGB.
        """
        found = ((sprite.name, _find(sprite, picture)) for sprite in self.sprites)
        return {name: box for name, box in found if box is not None}


def _find(sprite: Sprite, picture: np.ndarray) -> Box | None:
    """Where a sprite fits best, the first of equally good places; None where too badly."""
    left, top, width, height = map(int, sprite.region)
    region = picture[top : top + height, left : left + width]
    mask = _has_color(region, sprite.colors)
    # The shape is looked for where its colours are, and one shape around: cheaper.
    x, y, seen_width, seen_height = cv2.boundingRect(mask)
    if not seen_width:
        return None
    if not sprite.shapes:
        return Box(left + x, top + y, seen_width, seen_height)
    best: tuple[float, Box] | None = None
    for pose in sprite.shapes:
        pose_height, pose_width = pose.shape
        first_x, first_y = max(0, x - pose_width + 1), max(0, y - pose_height + 1)
        part = mask[
            first_y : y + seen_height + pose_height - 1, first_x : x + seen_width + pose_width - 1
        ]
        wrong = cv2.matchTemplate(part, pose, cv2.TM_SQDIFF)
        least, _, (column, row), _ = cv2.minMaxLoc(wrong)
        agreement = 1 - least / pose.size
        if best is None or agreement > best[0]:
            box_width, box_height = sprite.size or (pose_width, pose_height)
            middle = left + first_x + column + pose_width / 2
            box = Box(middle - box_width / 2, top + first_y + row, box_width, box_height)
            best = agreement, box
    assert best is not None
    return best[1] if best[0] >= sprite.least_agreement - 1e-6 else None  # float32 inside OpenCV


def _has_color(region: np.ndarray, colors: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """(h, w) uint8, 1 where a pixel has one of the colours."""
    mask = cv2.inRange(region, colors[0], colors[0])  # 0 or 255
    for color in colors[1:]:
        mask = cv2.bitwise_or(mask, cv2.inRange(region, color, color))
    return np.minimum(mask, 1)
