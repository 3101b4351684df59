"""Parts of a picture with the surroundings that their features depend on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of a picture: its core, which no other tile covers, inside what the network is shown.

    Rows and columns in pixels, ends excluded. All but the picture's own ends lie on the grid of the
    network's stride, so that the features of a part are those of the whole.
    """

    core_rows: tuple[int, int]
    core_columns: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    def crop(self, image: Tensor) -> Tensor:
        """What the network is shown of a picture (*, H, W)."""
        return image[..., slice(*self.rows), slice(*self.columns)]

    def core(self, features: Tensor, stride: int) -> Tensor:
        """The core among the features (*, H, W) of what was shown."""
        (top, bottom), (left, right) = self._core_at(stride)
        up, back = self.rows[0] // stride, self.columns[0] // stride
        return features[..., top - up : bottom - up, left - back : right - back]

    def place(self, features: Tensor, stride: int) -> Tensor:
        """The core among the features (*, H, W) of the whole picture."""
        rows, columns = self._core_at(stride)
        return features[..., slice(*rows), slice(*columns)]

    def add(self, image: Tensor, part: Tensor) -> None:
        """Adds what belongs to all that was shown, in place."""
        image[..., slice(*self.rows), slice(*self.columns)] += part

    def _core_at(self, stride: int) -> tuple[tuple[int, int], tuple[int, int]]:
        # Pooling drops what does not fill a cell at the picture's end, as the division does.
        (top, bottom), (left, right) = self.core_rows, self.core_columns
        return (top // stride, bottom // stride), (left // stride, right // stride)


def tiles_of(height: int, width: int, side: int, *, step: int, halo: int) -> list[list[Tile]]:
    """Cuts a picture into rows of tiles.

    Args:
        height: of the picture.
        width: of the picture.
        side: longest side of a core, in pixels; taken down to a multiple of `step`.
        step: the grid of the cuts: the network's largest stride.
        halo: pixels around a core on which its features depend, a multiple of `step`.
    """
    return [
        [
            Tile(
                core_rows=rows,
                core_columns=columns,
                rows=(max(rows[0] - halo, 0), min(rows[1] + halo, height)),
                columns=(max(columns[0] - halo, 0), min(columns[1] + halo, width)),
            )
            for columns in _cuts(width, side, step)
        ]
        for rows in _cuts(height, side, step)
    ]


def _cuts(length: int, side: int, step: int) -> list[tuple[int, int]]:
    """Spans of at most `side` that cover a length, as equal as the grid allows."""
    if length <= side:
        return [(0, length)]
    side = max(side // step * step, step)
    number = -(-length // side)
    cells = -(-length // step)
    edges = [min(cells * i // number * step, length) for i in range(number)] + [length]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]
