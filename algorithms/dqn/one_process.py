"""Acting, storing and learning in one process, each with the same parts as in many.

The runner's environments step in the emulator's own threads while the learner updates; the runner
acts with the learner's own network, so no weights are copied.
"""

from __future__ import annotations

from typing import Any

from algorithms.dqn.episodes import Episode
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.runner import DQNRunner
from algorithms.replay import FrameReplay, PrioritizedReplay


class OneProcess:
    """The loop of one process.

    Args:
        options: Of the run.
        runner: Plays.
        learner: Learns.
        replay: What is learnt from.

    Attributes:
        num_env_steps: Steps taken in all.
        updates_owed: Minibatch updates to be made for them, by `updates_per_step`.
    """

    def __init__(
        self, options: DQNOptions, runner: DQNRunner, learner: DQNLearner, replay: FrameReplay
    ) -> None:
        self._options, self._runner, self._learner = options, runner, learner
        self.replay = replay
        self.num_env_steps = 0
        self.updates_owed = 0.0
        runner.use_module(learner.dqn_module)

    @property
    def num_updates(self) -> int:
        """Minibatch updates made in all."""
        return self._learner.num_updates

    @property
    def epsilon(self) -> float:
        """Chance of a random action now."""
        return self._runner.epsilon

    def run(self, num_steps: int) -> tuple[list[dict[str, float]], list[Episode]]:
        """Acts and learns for so many steps.

        Returns:
            Metrics of each call of the learner, and the episodes that ended.
        """
        options, runner = self._options, self._runner
        until = self.num_env_steps + num_steps
        learned: list[dict[str, float]] = []
        episodes: list[Episode] = []
        while self.num_env_steps < until:
            runner.start_step()
            if options.overlap:
                learned += self._learn()
            episodes += runner.finish_step()
            taken = runner.num_env_steps_sampled_lifetime - self.num_env_steps
            self.num_env_steps += taken
            self.replay.add(runner.take_fragment())
            if self._may_learn():
                self.updates_owed += taken * options.updates_per_step
            if not options.overlap:
                learned += self._learn()
        return learned, episodes

    def _may_learn(self) -> bool:
        """Whether the replay holds enough: `learning_starts` frames, or all it ever will."""
        enough = len(self.replay) >= self._options.frames_to_learn
        return enough or self.replay.tail > 0

    def _learn(self) -> list[dict[str, float]]:
        """Makes the updates owed, in whole calls of `updates_per_call` minibatches."""
        options, replay = self._options, self.replay
        per_call, lr = options.updates_per_call, options.learning_rate(self.num_env_steps)
        results = []
        if not self._may_learn():  # after a restore, updates may be owed before frames are there
            return results
        while self.updates_owed >= per_call:
            if isinstance(replay, PrioritizedReplay):
                replay.importance_exponent = options.importance_exponent(self.num_env_steps)
            batch = replay.sample(per_call * options.batch_size)
            metrics, errors = self._learner.update_minibatches(batch, per_call, lr)
            if isinstance(replay, PrioritizedReplay):
                replay.update_priorities(batch.id, errors)
            results.append(metrics)
            self.updates_owed -= per_call
        return results

    def runner_metrics(self) -> list[Any]:
        """What runners logged since the last call, for RLlib to aggregate."""
        return [self._runner.get_metrics()]

    def faults(self) -> dict[str, int]:
        """What was lost so far: nothing that this process would live to tell."""
        return {}

    def get_state(self) -> dict[str, Any]:
        """Counters; runner, learner and replay are kept by themselves."""
        return {"num_env_steps": self.num_env_steps, "updates_owed": self.updates_owed}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave, of this loop or of that of many processes."""
        self.num_env_steps = state["num_env_steps"]
        self.updates_owed = state["updates_owed"]
        self._runner.num_env_steps_sampled_lifetime = self.num_env_steps

    def settle(self) -> None:
        """Nothing is ever under way here between two calls of `run`."""

    def stop(self) -> None:
        """Runner and learner are ended by RLlib."""
