"""What a replay gives and a learner takes: a batch of transitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """B transitions of up to n steps; m is the number of steps of a row, `1 <= m <= n`.

    Each of its U frames is there once, with the rows that name the planes of every stack: that
    is what travels, and whoever learns puts the stacks together where it learns.
    """

    frames: np.ndarray
    """`(U, *frame_shape)` of the frames' dtype."""
    planes_tm1: np.ndarray
    """`(B, stack)` int64, rows of `frames` that make `s_tm1`, oldest plane first."""
    planes_t: np.ndarray
    """Like `planes_tm1`, of `s_t`."""
    a_tm1: np.ndarray
    """`(B,)` int64."""
    r_t: np.ndarray
    """`(B,)` float32, discounted sum of m rewards."""
    discount_t: np.ndarray
    """`(B,)` float32, 0 where terminated, else gamma to the power of m, or of `duration`."""
    goal: np.ndarray
    """`(B,)` int64, the goals pursued with `a_tm1`; 0 where there are no goals."""
    duration: np.ndarray
    """`(B,)` int64, steps of the environment from `s_tm1` to `s_t`."""
    id: np.ndarray
    """`(B,)` int64, ids of the first records."""
    origin: np.ndarray
    """`(B,)` int64, `FrameReplay.origin` of the replay that a row is from."""
    weight: np.ndarray
    """`(B,)` float32, what the row's loss is multiplied by: 1 where rows are drawn uniformly."""

    @property
    def s_tm1(self) -> np.ndarray:
        """`(B, stack, *frame_shape)` of the frames' dtype, the states acted on; a copy."""
        return self.frames[self.planes_tm1]

    @property
    def s_t(self) -> np.ndarray:
        """Like `s_tm1`, m steps later."""
        return self.frames[self.planes_t]

    def __len__(self) -> int:
        """B."""
        return len(self.id)

    @staticmethod
    def join(parts: Sequence[Batch], order: np.ndarray | None = None) -> Batch:
        """Puts batches together.

        Args:
            parts: At least one.
            order: `(sum of their B,)` int64, which of their rows comes where; None: as they are.
        """
        if len(parts) == 1 and order is None:
            return parts[0]
        first_rows = np.cumsum([0, *(len(part.frames) for part in parts[:-1])])
        columns: dict[str, np.ndarray] = {}
        for name in _COLUMNS:
            values = [getattr(part, name) for part in parts]
            if name.startswith("planes"):
                values = [rows + first for rows, first in zip(values, first_rows, strict=True)]
            column = np.concatenate(values)
            columns[name] = column if order is None else column[order]
        return Batch(frames=np.concatenate([part.frames for part in parts]), **columns)


_COLUMNS = tuple(field.name for field in fields(Batch) if field.name != "frames")
