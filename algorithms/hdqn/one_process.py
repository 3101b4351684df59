"""The loop of one process, with goals: what becomes of them says how much is explored."""

from __future__ import annotations

from typing import Any

from algorithms.dqn.one_process import OneProcess
from algorithms.hdqn.runner import HDQNRunner


class OneHierarchy(OneProcess):
    """As `OneProcess`; its runner is an `HDQNRunner`."""

    runner: HDQNRunner  # type: ignore[assignment]

    def _store(self, taken: int) -> None:
        super()._store(taken)
        self.runner.hear_of_goals(self.runner.take_outcomes())

    def get_state(self) -> dict[str, Any]:
        """Counters, and what became of the goals."""
        return super().get_state() | {"goals": self.runner.statistics.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave."""
        super().set_state(state)
        self.runner.statistics.set_state(state["goals"])
        self.runner.hear_of_goals([])
