"""What each network that learns has for itself: its replay, and the updates that it is owed.

DQN has one level, h-DQN two. A level's batches are its own, and so is each call of the learner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import ray

from algorithms.replay import Fragment, FrameReplay, PrioritizedReplay
from algorithms.replay.sharded import Draw, ShardedReplay

if TYPE_CHECKING:
    from algorithms.dqn.learner import Learned
    from algorithms.dqn.learners import LearnerActors, LocalLearner
    from algorithms.dqn.options import DQNOptions
    from algorithms.dqn.updates import QUpdates

_CALLS_AHEAD = 2  # of the learners, and as many batches drawn for the ones after


class Level(ABC):
    """The account of a level.

    Args:
        options: How it is learned.
        first_step: Step from which on it learns.

    Attributes:
        updates_owed: Minibatch updates to be made for the steps taken, by `updates_per_step`.
    """

    def __init__(self, options: DQNOptions, *, first_step: int = 0) -> None:
        self.options, self._first_step = options, first_step
        self.updates_owed = 0.0

    @property
    @abstractmethod
    def may_learn(self) -> bool:
        """Whether the replay holds enough: `learning_starts` frames, or all it ever will."""

    def owe(self, num_steps: int, num_env_steps: int) -> None:
        """Owes updates for steps, once it learns.

        Args:
            num_steps: How many steps.
            num_env_steps: Steps taken in all, with them.
        """
        counted = min(num_steps, num_env_steps - self._first_step)
        if counted > 0 and self.may_learn:
            self.updates_owed += counted * self.options.updates_per_step


class LocalLevel(Level):
    """A level that is learnt in this process.

    Args:
        options: How it is learned.
        updates: Makes its updates.
        replay: What it learns from.
        first_step: Step from which on it learns.
    """

    def __init__(
        self, options: DQNOptions, updates: QUpdates, replay: FrameReplay, *, first_step: int = 0
    ) -> None:
        super().__init__(options, first_step=first_step)
        self.updates, self.replay = updates, replay

    @property
    def may_learn(self) -> bool:
        enough = len(self.replay) >= self.options.frames_to_learn
        return enough or self.replay.tail > 0

    def take(self, fragment: Fragment | None, num_steps: int, num_env_steps: int) -> None:
        """Stores records, and owes updates for steps.

        Args:
            fragment: The records; None: there are none.
            num_steps: How many steps.
            num_env_steps: Steps taken in all.
        """
        if fragment is not None:
            self.replay.add(fragment)
        self.owe(num_steps, num_env_steps)

    def learn(self, num_env_steps: int) -> list[dict[str, float]]:
        """Makes the updates owed, in whole calls of `updates_per_call` minibatches.

        Args:
            num_env_steps: Steps taken in all, on which schedules depend.

        Returns:
            Metrics of each call.
        """
        options, replay = self.options, self.replay
        per_call, lr = options.updates_per_call, options.learning_rate(num_env_steps)
        results = []
        if not self.may_learn:  # after a restore, updates may be owed before frames are there
            return results
        while self.updates_owed >= per_call:
            if isinstance(replay, PrioritizedReplay):
                replay.importance_exponent = options.importance_exponent(num_env_steps)
            batch = replay.sample(per_call * options.batch_size)
            metrics, errors = self.updates.update_minibatches(batch, per_call, lr)
            if isinstance(replay, PrioritizedReplay):
                replay.update_priorities(batch.id, errors)
            results.append(metrics)
            self.updates_owed -= per_call
        return results


class RemoteLevel(Level):
    """A level whose replay is in shards, and whose updates are asked for.

    Args:
        name: Of its module.
        options: How it is learned.
        replay: The shards.
        first_step: Step from which on it learns.
    """

    def __init__(
        self, name: str, options: DQNOptions, replay: ShardedReplay, *, first_step: int = 0
    ) -> None:
        super().__init__(options, first_step=first_step)
        self.name, self.replay = name, replay
        self._metrics: list[dict[str, float]] = []
        self._drawn: deque[Draw] = deque()

    @property
    def may_learn(self) -> bool:
        enough = len(self.replay) >= self.options.frames_to_learn or self.replay.has_evicted
        return enough and self.replay.can_draw

    @property
    def steps_owed(self) -> float:
        """Steps that should have been learnt from: what is less than a call of the learners has to
        wait for more of them."""
        per_call = self.options.updates_per_call
        return self.updates_owed // per_call * per_call / self.options.updates_per_step

    @property
    def can_pay(self) -> bool:
        """Whether a whole call of the learners is owed."""
        return self.updates_owed >= self.options.updates_per_call

    @property
    def num_drawn(self) -> int:
        """Calls of the learners that batches are drawn for."""
        return len(self._drawn)

    @property
    def waiting(self) -> list[ray.ObjectRef]:
        """References that become ready before the next batches can be handed over."""
        return list(self._drawn[0].waiting) if self._drawn else []

    def ask_for_updates(
        self, learners: LocalLearner | LearnerActors, num_env_steps: int, rng: np.random.Generator
    ) -> None:
        """Draws batches for what is owed, and hands over those that are there.

        Args:
            learners: What learns.
            num_env_steps: Steps taken in all, on which schedules depend.
            rng: Draws in which order batches of several shards are joined.
        """
        options, name = self.options, self.name
        per_call = options.updates_per_call
        while self._drawn and learners.num_calls(name) < _CALLS_AHEAD and self._drawn[0].is_ready:
            draw = self._drawn.popleft()
            if draw.is_lost:
                continue
            learners.submit(
                draw.parts,
                level=name,
                num_minibatches=per_call,
                lr=options.learning_rate(num_env_steps),
                order_seed=int(rng.integers(2**32)),
            )
        if not self.may_learn:
            return
        handed = learners.num_in_flight(name) + per_call * len(self._drawn)
        ahead = learners.num_calls(name) + len(self._drawn)
        for _ in range(ahead, 2 * _CALLS_AHEAD):
            if self.updates_owed - handed < per_call:
                return
            share = per_call * options.batch_size // learners.num_learners
            exponent = options.importance_exponent(num_env_steps)
            self._drawn.append(self.replay.draw([share] * learners.num_learners, exponent))
            handed += per_call

    def forget_drawn(self) -> None:
        """Lets go of batches that nobody was given yet."""
        self._drawn.clear()

    def take_learned(self, learned: Learned) -> None:
        """Takes up what the learners answered: metrics, and how wrong values were."""
        self._metrics.append(learned.metrics)
        if self.options.prioritized:
            self.replay.update_priorities(learned.origin, learned.id, learned.error)

    def take_metrics(self) -> list[dict[str, float]]:
        """Metrics of the calls that were acknowledged since this was last asked."""
        metrics, self._metrics = self._metrics, []
        return metrics
