"""Acting, storing and learning in one process, each with the same parts as in many.

The runner's environments step in the emulator's own threads while the learner updates; the runner
acts with the learner's own network, so no weights are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.dqn.episodes import Episode
from algorithms.dqn.levels import LocalLevel
from algorithms.dqn.runner import DQNRunner


class OneProcess:
    """The loop of one process.

    Args:
        runner: Plays.
        levels: What learns, by the names of its modules.
        overlap: Whether to learn while the emulator steps.

    Attributes:
        num_env_steps: Steps taken in all.
        queue_depth: Calls under way: there are none.
    """

    queue_depth = 0

    def __init__(
        self, runner: DQNRunner, levels: Mapping[str, LocalLevel], *, overlap: bool
    ) -> None:
        self.runner, self.levels, self._overlap = runner, dict(levels), overlap
        self.num_env_steps = 0

    @property
    def num_updates(self) -> dict[str, int]:
        """By level, minibatch updates made in all."""
        return {name: level.updates.num_updates for name, level in self.levels.items()}

    @property
    def updates_owed(self) -> dict[str, float]:
        """By level, minibatch updates to be made."""
        return {name: level.updates_owed for name, level in self.levels.items()}

    @property
    def epsilon(self) -> float:
        """Chance of a random action now."""
        return self.runner.epsilon

    def run(self, num_steps: int) -> tuple[dict[str, list[dict[str, float]]], list[Episode]]:
        """Acts and learns for so many steps.

        Returns:
            By level, metrics of each call of the learner; and the episodes that ended.
        """
        runner, until = self.runner, self.num_env_steps + num_steps
        learned: dict[str, list[dict[str, float]]] = {name: [] for name in self.levels}
        episodes: list[Episode] = []
        while self.num_env_steps < until:
            runner.start_step()
            if self._overlap:
                self._learn(learned)
            episodes += runner.finish_step()
            taken = runner.num_env_steps_sampled_lifetime - self.num_env_steps
            self.num_env_steps += taken
            self._store(taken)
            if not self._overlap:
                self._learn(learned)
        return learned, episodes

    def _store(self, taken: int) -> None:
        """Gives each level what was recorded of the latest steps."""
        fragments = self.runner.take_fragments()
        for name, level in self.levels.items():
            level.take(fragments.get(name), taken, self.num_env_steps)

    def _learn(self, learned: dict[str, list[dict[str, float]]]) -> None:
        for name, level in self.levels.items():
            learned[name] += level.learn(self.num_env_steps)

    def runner_metrics(self) -> list[Any]:
        """What runners logged since the last call, for RLlib to aggregate."""
        return [self.runner.get_metrics()]

    def faults(self) -> dict[str, int]:
        """What was lost so far: nothing that this process would live to tell."""
        return {}

    def get_state(self) -> dict[str, Any]:
        """Counters; runner, learner and replay are kept by themselves."""
        return {"num_env_steps": self.num_env_steps, "updates_owed": self.updates_owed}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave, of this loop or of that of many processes."""
        self.num_env_steps = state["num_env_steps"]
        for name, level in self.levels.items():
            level.updates_owed = state["updates_owed"][name]
        self.runner.num_env_steps_sampled_lifetime = self.num_env_steps

    def settle(self) -> None:
        """Nothing is ever under way here between two calls of `run`."""

    def stop(self) -> None:
        """Runner and learner are ended by RLlib."""
