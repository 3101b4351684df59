"""The loop of a distributed run with goals: the driver counts what becomes of them.

Runners report the outcomes of their goals and are told how much to explore for each, so that they
explore alike, and one that takes another's place as that one would.
"""

from __future__ import annotations

from typing import Any

from algorithms.dqn.distributed import Distributed
from algorithms.dqn.pushing import Report
from algorithms.hdqn.runner import HDQNRunner
from algorithms.hdqn.statistics import Outcome


class DistributedHierarchy(Distributed):
    """As `Distributed`; its runners are `HDQNRunner`s.

    Args:
        runner: The one of this process, which does not play: it counts.
        *args: Of `Distributed`.
        **kwargs: Of it, too.
    """

    def __init__(self, runner: HDQNRunner, *args: Any, **kwargs: Any) -> None:
        self.runner = runner
        super().__init__(*args, **kwargs)
        runner.schedule_step = 0

    def _told(self) -> dict[str, Any]:
        return {"goal_epsilon": self.runner.goal_epsilon}

    def _hear_of_steps(self, report: Report) -> None:
        super()._hear_of_steps(report)
        self.runner.schedule_step = self.num_env_steps
        self.runner.hear_of_goals([Outcome(*outcome) for outcome in report.outcomes])

    def get_state(self) -> dict[str, Any]:
        """Counters, the runners' states, and what became of the goals."""
        return super().get_state() | {"goals": self.runner.statistics.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave, or that of one process."""
        super().set_state(state)
        self.runner.schedule_step = self.num_env_steps
        self.runner.statistics.set_state(state["goals"])
        self.runner.hear_of_goals([])
