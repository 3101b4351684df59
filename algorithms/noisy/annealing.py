"""The noise of a network's activations as its training makes it less."""

from __future__ import annotations

from typing import Any

from torch import nn

from algorithms.noisy.activations import set_c
from algorithms.noisy.schedule import Schedule


class Annealing:
    """Sets c of every noisy activation of a network as a schedule says; a training steps it.

    Args:
        network: whose activations; those that are added later count, too.
        schedule: how c falls.
        update: that learning begins with.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, *, update: int = 0):
        self._network, self.schedule = network, schedule
        self.update = update
        self._set()

    @property
    def c(self) -> float:
        """Of the next update."""
        return self.schedule(self.update)

    def step(self) -> None:
        """One update is done."""
        self.update += 1
        self._set()

    def get_state(self) -> dict[str, Any]:
        """How far it is."""
        return {"update": self.update}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave."""
        self.update = state["update"]
        self._set()

    def _set(self) -> None:
        set_c(self._network, self.c)
