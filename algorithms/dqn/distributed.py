"""The loop of a distributed run: actors play, store and learn; here are only handles and counters.

    runners ──records──► shards ──batches──► learners ──weights──► runners
       ▲                    ▲                    ▲
       └──── asked for ─────┴──── asked for ─────┴── by this loop, which gets counters back

What holds the ratio of updates to steps, of each level by itself: only steps that a shard has
acknowledged are counted, only updates that the learners have acknowledged are paid, no update is
asked for that is not owed, and runners are asked for no more steps than `MAX_STEPS_AHEAD` beyond
what is paid of the level that is furthest behind, where what is less than a call of the learners
does not count. That also bounds the memory: every call that is
under way is one of those asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from algorithms.dqn.episodes import Episode
from algorithms.dqn.learners import LearnerActors, LocalLearner, is_whole, merge
from algorithms.dqn.levels import RemoteLevel
from algorithms.dqn.options import MAX_STEPS_AHEAD, DQNOptions
from algorithms.dqn.pushing import Report
from algorithms.dqn.runner_actors import RunnerActors

_CALLS_PER_RUNNER = 2  # one that it is at, and the next
_WAIT_S = 1.0  # at most, until what may have come back is looked at again
_PAUSE_S = 0.01  # where nothing is under way, because shards start again


class Distributed:
    """Drives runners, shards and learners; attributes and methods as `OneProcess`.

    Args:
        options: Of the run.
        runners: What plays.
        learners: What learns.
        levels: What is learnt, by the names of its modules; the first has a record of each step.
        seed: Of what is drawn here; None: no two runs are alike.
    """

    def __init__(
        self,
        options: DQNOptions,
        runners: RunnerActors,
        learners: LocalLearner | LearnerActors,
        levels: Mapping[str, RemoteLevel],
        seed: int | None,
    ) -> None:
        self._options, self.learners, self.levels = options, learners, dict(levels)
        self._runners = runners
        self._rng = np.random.default_rng(None if seed is None else [seed, 3])
        self._fragment_steps = options.fragment_length * options.num_envs_per_env_runner
        # Each runner may always be at one fragment, however many there are.
        self._steps_ahead = max(MAX_STEPS_AHEAD, len(runners.all) * self._fragment_steps)
        self.num_env_steps = 0
        self.epsilon: float | None = options.epsilon(0)
        self._num_lost, self._num_others_lost = 0, 0
        self._weights: ray.ObjectRef | None = None
        self._weights_version = 0
        self._next_weights: tuple[ray.ObjectRef, ray.ObjectRef] | None = None
        self._weights_at = 0
        self._states: ray.ObjectRef | None = None
        self._next_max_q: ray.ObjectRef | None = None
        self._max_q: float | None = None
        self._metrics: list[Any] = []
        self._episodes: list[Episode] = []
        self._runner_states: list[dict[str, Any] | None] | None = None  # as long as nothing goes on
        shards = {name: level.replay.shards for name, level in self.levels.items()}
        runners.connect(shards, options.num_streams)
        self._broadcast()

    @property
    def num_updates(self) -> dict[str, int]:
        """By level, minibatch updates acknowledged in all."""
        return dict(self.learners.num_updates)

    @property
    def updates_owed(self) -> dict[str, float]:
        """By level, minibatch updates to be made."""
        return {name: level.updates_owed for name, level in self.levels.items()}

    @property
    def queue_depth(self) -> int:
        """Calls of runners and learners that are under way, and batches drawn for more of them."""
        calls = sum(len(runner.calls) for runner in self._runners.all)
        learning = (self.learners.num_calls(n) + v.num_drawn for n, v in self.levels.items())
        return calls + sum(learning)

    def run(self, num_steps: int) -> tuple[dict[str, list[dict[str, float]]], list[Episode]]:
        """Has so many steps taken and acknowledged, and what is owed for them learnt.

        What is under way when it returns goes on; `settle` waits for it.

        Returns:
            By level, metrics of each call of the learners; and the episodes that ended.
        """
        until = self.num_env_steps + num_steps
        self._runner_states = None
        for runner in self._runners.all:
            runner.wants_metrics = True
        while self.num_env_steps < until:
            self._ask_for_steps()
            self._ask_for_updates()
            self._wait()
            self._take_up()
        learned = {name: level.take_metrics() for name, level in self.levels.items()}
        episodes, self._episodes = self._episodes, []
        return learned, episodes

    def settle(self) -> None:
        """Waits until nothing is under way, so that runners, shards and learners agree."""
        while self._runners.steps_asked or self.learners.is_busy:
            self._wait()
            self._take_up()
        for level in self.levels.values():
            level.forget_drawn()
        before = self.num_updates
        self.learners.check()
        self._pay(before)
        for level in self.levels.values():
            level.replay.settle()

    # Asking

    def _ask_for_steps(self) -> None:
        """Keeps runners at work as far as the learners keep up, those first that did least."""
        steps, asked = self._fragment_steps, self._runners.steps_asked
        # What cannot be learnt (yet) holds nobody back: a shard that began again has to fill.
        learning = [level for level in self.levels.values() if level.may_learn]
        can_pay = any(level.can_pay for level in learning)
        ahead = asked + max((level.steps_owed for level in learning), default=0.0)
        for num_calls in range(_CALLS_PER_RUNNER):
            for runner in sorted(self._runners.all, key=lambda runner: runner.num_steps):
                if ahead + steps > self._steps_ahead and (asked or can_pay):
                    return
                if len(runner.calls) > num_calls or runner.starting is not None:
                    continue
                weights = None
                if self._weights is not None and runner.weights_version < self._weights_version:
                    weights, runner.weights_version = self._weights, self._weights_version
                self._runners.ask(
                    runner, steps, step=self.num_env_steps, weights=weights, **self._told()
                )
                ahead += steps
                asked += steps

    def _told(self) -> dict[str, Any]:
        """What runners are told besides, as arguments of their `push`."""
        return {}

    def _ask_for_updates(self) -> None:
        """Asks for what is owed of each level."""
        for level in self.levels.values():
            level.ask_for_updates(self.learners, self.num_env_steps, self._rng)

    def _broadcast(self) -> None:
        """Sends the networks of all levels out when it is time; one reference at a time."""
        if self._next_weights is not None:
            network, num_updates = self._next_weights
            ready, _ = ray.wait([num_updates], timeout=0)
            if ready:
                self._next_weights = None
                if is_whole(num_updates):  # else its learner died; the next one will be asked
                    self._weights = network
                    self._weights_version += 1
        else:
            made = sum(self.learners.num_updates.values())
            if self._weights is None or made >= self._weights_at + self._options.weights_period:
                self._next_weights = self.learners.weights()
                self._weights_at = made

    # Answers

    def _wait(self) -> None:
        """Waits until something has come of what is under way."""
        drawn = [ref for level in self.levels.values() for ref in level.waiting]
        refs = [*self._runners.waiting(), *drawn, *self.learners.waiting()]
        if refs:
            ray.wait(refs, num_returns=1, timeout=_WAIT_S, fetch_local=False)
        else:
            time.sleep(_PAUSE_S)

    def _take_up(self) -> None:
        """Takes up all that has come."""
        for report in self._runners.take_up():
            self._hear_of_steps(report)
        for level in self.levels.values():
            level.replay.hear()
        before, restarts = self.num_updates, self.learners.num_restarts
        for name, answers in self.learners.collect():
            self.levels[name].take_learned(merge(answers))
        self._pay(before)
        if self.learners.num_restarts > restarts:  # what they sent may have gone with them
            self._weights = self._next_weights = None
        self._broadcast()

    def _pay(self, before: dict[str, int]) -> None:
        """Takes the updates made since off what is owed, which grows where some were lost."""
        made = self.learners.num_updates
        for name, level in self.levels.items():
            level.updates_owed -= made[name] - before[name]

    def _hear_of_steps(self, report: Report) -> None:
        for name, i in report.dead_shards:
            self.levels[name].replay.suspect(i)
        for name, i, status in report.statuses:
            self.levels[name].replay.note(i, status)
        for episode in report.episodes:  # no later than the steps that count; some may be lost
            episode.end_step = self.num_env_steps + min(episode.end_step, report.num_steps)
        self._episodes += report.episodes
        self._num_lost += report.num_lost
        self._num_others_lost += report.num_others_lost
        self.num_env_steps += report.num_steps
        for level in self.levels.values():
            level.owe(report.num_steps, self.num_env_steps)
        self.epsilon = report.epsilon
        if report.metrics is not None:
            self._metrics.append(report.metrics)

    def max_q(self, states: np.ndarray) -> float | None:
        """`DQNLearner.max_q` of states as last heard of; asks again while learning goes on."""
        if self._states is None:
            self._states = ray.put(states)
        if self._next_max_q is not None:
            ready, _ = ray.wait([self._next_max_q], timeout=0)
            if ready:
                if is_whole(self._next_max_q):
                    self._max_q = ray.get(self._next_max_q)
                self._next_max_q = None
        if self._next_max_q is None:
            self._next_max_q = self.learners.max_q(self._states)
        return self._max_q

    def runner_metrics(self) -> list[Any]:
        """What runners logged since the last call, for RLlib to aggregate."""
        metrics, self._metrics = self._metrics, []
        return metrics

    def faults(self) -> dict[str, int]:
        """What died and what was lost so far."""
        replays = [level.replay for level in self.levels.values()]
        lost = self._num_others_lost + sum(replay.num_lost for replay in replays)
        return {
            "runner_restarts": self._runners.num_restarts,
            "shard_restarts": sum(replay.num_restarts for replay in replays),
            "learner_restarts": self.learners.num_restarts,
            "steps_lost": self._num_lost,
            "transitions_lost": lost,
            "updates_lost": self.learners.num_updates_lost,
        }

    # State

    def get_state(self) -> dict[str, Any]:
        """Counters, random numbers and the runners' states, once all is settled; learners and
        replay are kept by themselves."""
        self.settle()
        if self._runner_states is None:  # RLlib asks once for each part of a checkpoint
            self._runner_states = self._runners.get_states()
        return {
            "num_env_steps": self.num_env_steps,
            "updates_owed": self.updates_owed,
            "order_rng": self._rng.bit_generator.state,
            "runners": self._runner_states,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what `get_state` gave, also of another number of runners, or of one process.

        Runners that are more than there were begin with new episodes; the open ones of runners
        that are no more are given up.
        """
        self.settle()
        self._states = self._max_q = self._next_max_q = self._runner_states = None
        self.num_env_steps = state["num_env_steps"]
        for name, level in self.levels.items():
            level.updates_owed = state["updates_owed"][name]
        if "order_rng" in state:
            self._rng.bit_generator.state = state["order_rng"]
        self._runners.set_states(state.get("runners", []))
        if isinstance(self.learners, LearnerActors):
            self.learners.take_snapshot()
        self._weights = self._next_weights = None
        self._broadcast()

    def stop(self) -> None:
        """Ends the shards; runners and learners are ended by RLlib, once they are there."""
        for level in self.levels.values():
            level.replay.stop()
        self._runners.stop()
