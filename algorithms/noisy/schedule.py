"""Less noise as learning goes on: from nearly everywhere to where the function saturates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from algorithms.noisy.config import check_choice
from arcadia.errors import UserError

AnnealShape = Literal["inverse_sqrt", "exponential", "linear"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How c falls over the updates.

    The paper lets it fall from 30 to 0.5 as 30 / sqrt(t + 1), with t one more every 200 updates:
    720,000 updates. Here the duration is said, and t grows with every update.

    Raises:
        UserError: it rises, or a number is out of range.
    """

    start: float = 30.0
    """c of the first update."""
    end: float = 0.5
    """c from the last update of the duration on; above 0, and not above start."""
    duration: int
    """Updates until then."""
    shape: AnnealShape = "inverse_sqrt"
    """inverse_sqrt (the paper's): start / sqrt(1 + k) with k growing evenly; exponential: by the
    same share with every update; linear: by the same amount."""

    def __post_init__(self) -> None:
        check_choice("anneal_shape", self.shape, AnnealShape)
        if not 0 < self.end < math.inf:
            raise UserError(f"anneal end {self.end:g}: must be above 0")
        if not self.end <= self.start < math.inf:
            raise UserError(f"anneal {self.start:g}:{self.end:g}: rises; give the larger one first")
        if self.duration < 1:
            raise UserError(f"anneal duration {self.duration}: must be at least 1 update")

    def __call__(self, update: int) -> float:
        """c of an update, counted from 0."""
        done = min(max(update / self.duration, 0.0), 1.0)
        if self.shape == "linear":
            return self.start + (self.end - self.start) * done
        if self.shape == "exponential":
            return self.start * (self.end / self.start) ** done
        return self.start / math.sqrt(1 + ((self.start / self.end) ** 2 - 1) * done)


def parse_anneal(text: str) -> tuple[float, float]:
    """The start and end of `START:END`, such as 30:0.5.

    Raises:
        UserError: it is something else.
    """
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start), float(end)
    except ValueError:
        raise UserError(f'anneal "{text}": give START:END, such as 30:0.5') from None
