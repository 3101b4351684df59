"""How a remote runner's fragments reach the shards, and what it tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.exceptions import RayActorError
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED, NUM_ENV_STEPS_SAMPLED_LIFETIME

from algorithms.replay import Fragment, RecordFlag
from algorithms.replay.shard import ShardStatus, split_by_shard

if TYPE_CHECKING:
    from algorithms.dqn.episodes import Episode


@dataclass(kw_only=True, slots=True)
class Report:
    """What one call of `DQNRunner.push` came to: counters, no pixels."""

    num_steps: int = 0
    """Steps whose records a shard has acknowledged."""
    num_lost: int = 0
    """Steps whose records were on their way to a shard that died."""
    num_others_lost: int = 0
    """Records on their way to such a shard of a level that has none of each step."""
    episodes: list[Episode] = field(default_factory=list)
    """Those that ended; `end_step` counts from this call's first step."""
    statuses: list[tuple[str, int, ShardStatus]] = field(default_factory=list)
    """Shards sent to, by level and number, and how they are."""
    dead_shards: list[tuple[str, int]] = field(default_factory=list)
    """Shards that did not answer, by level and number."""
    epsilon: float | None = 0.0
    """Chance of a random action; None where it is no single one."""
    outcomes: Sequence[tuple[int, bool]] = ()
    """Where goals are pursued, those that came to an end, and whether they were reached."""
    metrics: Any = None
    """`DQNRunner.get_metrics`, where they were asked for."""


class FragmentSender:
    """Sends fragments to the shards that their streams belong to.

    Args:
        shards: By level, handles of all its shards, in their order. The first level is the one that
            has a record of each step.
        num_streams: Streams of all runners.
    """

    def __init__(self, shards: Mapping[str, Sequence[Any]], num_streams: int) -> None:
        self._shards, self._num_streams = shards, num_streams

    def send(self, fragments: Mapping[str, Fragment], report: Report) -> None:
        """Sends records and waits until they are stored, which is what holds a runner back.

        Args:
            fragments: K records of each level that has some.
            report: Takes up what became of them.
        """
        sent = [
            # Ray makes a large part a reference by itself, and sends a small one along.
            (level, i, part, self._shards[level][i].add.remote(part))
            for level, fragment in fragments.items()
            for i, part in split_by_shard(fragment, self._num_streams, len(self._shards[level]))
        ]
        acting = next(iter(self._shards))
        for level, i, part, stored in sent:
            has_action = (part.flags & RecordFlag.FINAL) == 0
            number = int(np.count_nonzero(has_action))
            num_steps = number if level == acting else 0
            try:
                report.statuses.append((level, i, ray.get(stored)))
                report.num_steps += num_steps
            except RayActorError:  # its numbers are missing for good: the stacks close there
                report.dead_shards.append((level, i))
                report.num_lost += num_steps
                report.num_others_lost += number - num_steps


class Pushes:
    """What a `DQNRunner` can do as an actor: send what it plays to shards, and report counters.

    Attributes:
        schedule_step: Steps that all runners have taken, on which epsilon depends; None where this
            runner is the only one.
    """

    schedule_step: int | None = None
    _sender: FragmentSender | None = None

    def connect(
        self: Any, shards: Mapping[str, Sequence[Any]], num_streams: int, takes_place: int = 0
    ) -> None:
        """Says where `push` sends to.

        Args:
            shards: By level, all shards' handles; see `FragmentSender`.
            num_streams: Streams of all runners.
            takes_place: How many runners died before, where it takes the place of one: it is not
                to play once more what that one began with.
        """
        self._sender = FragmentSender(shards, num_streams)
        if takes_place and self._seed is not None:
            self.rng = np.random.default_rng([self._seed, takes_place])

    def push(
        self: Any,
        num_timesteps: int,
        *,
        step: int,
        weights: dict[str, Any] | None = None,
        with_metrics: bool = False,
    ) -> Report:
        """Acts, and sends what was recorded to the shards; only counters come back.

        Args:
            num_timesteps: Steps in all environments together.
            step: Steps that all runners have taken, on which epsilon depends.
            weights: By module, the network to act with from now on; None: as it is.
            with_metrics: Whether to report metrics, too.

        Returns:
            What became of the steps, when the shards have stored them.
        """
        assert self._sender is not None, "push before connect"
        if weights is not None:
            self.take_weights(weights)
        self.schedule_step = step
        first = self.num_env_steps_sampled_lifetime
        report = Report(epsilon=self.epsilon, episodes=self._act(num_timesteps, None))
        for episode in report.episodes:
            episode.end_step -= first
        fragments = self.take_fragments()
        self._callback("on_sample_end", samples=next(iter(fragments.values())))
        self._sender.send(fragments, report)
        if with_metrics:
            report.metrics = self.get_metrics()
        return report

    def get_metrics(self: Any) -> Any:
        """Metrics since the last call, for RLlib to aggregate."""
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED, self._num_steps, reduce="sum")
        self.metrics.log_value(
            NUM_ENV_STEPS_SAMPLED_LIFETIME, self._num_steps, reduce="lifetime_sum"
        )
        self._num_steps = 0
        return self.metrics.reduce()
