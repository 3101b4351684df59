"""Priorities of slots, drawn from in proportion: many at a time, in a few numpy calls."""

import math
from typing import Any

import numpy as np

FANOUT = 32
"""Children of a node. numpy is paid by the call, so a wide tree (4 levels for a million slots) is
some times faster than a binary one (20 levels), and its inner nodes take 1/31 of the leaves."""


class SumTree:
    """A priority for each slot of a ring, with their sum and their least, and draws by mass.

    The sum tree of Schaul et al. 2016, "Prioritized Experience Replay", appendix B.2.1, with more
    than two children a node. An inner node is always summed anew from its children, so errors of
    rounding do not build up and equal leaves make equal trees.

    Args:
        capacity: Number of slots; their priorities are 0 at first.

    Raises:
        ValueError: If `capacity` is below 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: must be at least 1")
        self.capacity = capacity
        # Row r of a level holds the children of node r of the level above; the last has one row.
        self._sums = [np.zeros((rows, FANOUT)) for rows in _rows(capacity)]
        # Least positive leaf below each node. That of a leaf is itself, so the first is left out.
        self._minima = [np.full_like(level, np.inf) for level in self._sums[1:]]

    @staticmethod
    def metadata_nbytes(capacity: int) -> int:
        """Bytes of the arrays of a tree."""
        rows = _rows(capacity)
        return (2 * sum(rows) - rows[0]) * FANOUT * 8

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._sums[-1][0].sum())

    @property
    def minimum(self) -> float:
        """Least of the positive priorities; infinite where there is none."""
        return float(self._least(len(self._sums) - 1, np.zeros(1, dtype=np.int64))[0])

    def set(self, slots: np.ndarray, values: np.ndarray) -> None:
        """Sets priorities.

        Args:
            slots: `(K,)` int64 in `[0, capacity)`; of a repeated one the last value counts.
            values: `(K,)` float64, finite and at least 0.

        Raises:
            ValueError: If a value is negative, infinite or not a number; nothing is set then.
        """
        refused = ~((values >= 0) & (values < np.inf))
        if refused.any():
            raise ValueError(f"priority {values[refused][0]}: must be finite and at least 0")
        self._sums[0].reshape(-1)[slots] = values
        self._refresh(slots)

    def _refresh(self, slots: np.ndarray) -> None:
        nodes = slots
        for level in range(1, len(self._sums)):
            nodes = np.unique(nodes // FANOUT)
            self._sums[level].reshape(-1)[nodes] = self._sums[level - 1][nodes].sum(axis=1)
            self._minima[level - 1].reshape(-1)[nodes] = self._least(level - 1, nodes)

    def _least(self, level: int, rows: np.ndarray) -> np.ndarray:
        if level:
            return self._minima[level - 1][rows].min(axis=1)
        leaves = self._sums[0][rows]
        return np.where(leaves > 0, leaves, np.inf).min(axis=1)

    def get(self, slots: np.ndarray) -> np.ndarray:
        """Priorities of slots.

        Args:
            slots: `(K,)` int64 in `[0, capacity)`.

        Returns:
            `(K,)` float64.
        """
        return self._sums[0].reshape(-1)[slots]

    def find(self, masses: np.ndarray) -> np.ndarray:
        """Finds the slots in which masses fall when the priorities are laid side by side.

        Args:
            masses: `(B,)` float64 in `[0, total)`; `total` must be positive.

        Returns:
            `(B,)` int64: the first slot up to and with which the priorities add up to more than
            the mass. Its priority is positive, whatever was lost in rounding.
        """
        nodes = np.zeros(len(masses), dtype=np.int64)
        rows = np.arange(len(masses))
        for level in reversed(self._sums):
            ends = level[nodes].cumsum(axis=1)
            child = (ends <= masses[:, np.newaxis]).sum(axis=1)
            # A mass beyond the end, by rounding, belongs to the last child that has any.
            child = np.minimum(child, (ends < ends[:, -1:]).sum(axis=1))
            masses = masses - np.where(child > 0, ends[rows, child - 1], 0.0)
            nodes = nodes * FANOUT + child
        return nodes

    def get_state(self, *, copy: bool = True) -> dict[str, Any]:
        """The priorities, `(capacity,)` float64: a copy, or a view valid until the next `set`."""
        leaves = self._sums[0].reshape(-1)[: self.capacity]
        return {"leaves": leaves.copy() if copy else leaves}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up the state of a tree of the same capacity.

        Raises:
            ValueError: If it is of another capacity, or a priority is out of range; the tree is as
                before then.
        """
        leaves = state["leaves"]
        if len(leaves) != self.capacity:
            raise ValueError(
                f"capacity of the saved priorities is {len(leaves)}, this tree's {self.capacity}"
            )
        self.set(np.arange(self.capacity), leaves)


def _rows(capacity: int) -> list[int]:
    """Rows of each level, leaves first."""
    rows = [max(1, math.ceil(capacity / FANOUT))]
    while rows[-1] > 1:
        rows.append(math.ceil(rows[-1] / FANOUT))
    return rows
