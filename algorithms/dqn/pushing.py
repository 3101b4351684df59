"""How a remote runner's fragments reach the shards, and what it tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayActorError

from algorithms.dqn.episodes import Episode
from algorithms.replay import Fragment, RecordFlag
from algorithms.replay.shard import ShardStatus, split_by_shard


@dataclass(kw_only=True, slots=True)
class Report:
    """What one call of `DQNRunner.push` came to: counters, no pixels."""

    num_steps: int = 0
    """Steps whose records a shard has acknowledged."""
    num_lost: int = 0
    """Steps whose records were on their way to a shard that died."""
    episodes: list[Episode] = field(default_factory=list)
    """Those that ended; `end_step` counts from this call's first step."""
    statuses: list[tuple[int, ShardStatus]] = field(default_factory=list)
    """Shards sent to, by number, and how they are."""
    dead_shards: list[int] = field(default_factory=list)
    """Shards that did not answer, by number."""
    epsilon: float = 0.0
    """Chance of a random action."""
    metrics: Any = None
    """`DQNRunner.get_metrics`, where they were asked for."""


class FragmentSender:
    """Sends fragments to the shards that their streams belong to.

    Args:
        shards: Handles of all shards, in their order.
        num_streams: Streams of all runners.
    """

    def __init__(self, shards: list[Any], num_streams: int) -> None:
        self._shards, self._num_streams = shards, num_streams

    def send(self, fragment: Fragment, report: Report) -> None:
        """Sends records and waits until they are stored, which is what holds a runner back.

        Args:
            fragment: K records.
            report: Takes up what became of them.
        """
        sent = [
            (i, part, self._shards[i].add.remote(ray.put(part)))
            for i, part in split_by_shard(fragment, self._num_streams, len(self._shards))
        ]
        for i, part, stored in sent:
            num_steps = int(np.count_nonzero((part.flags & RecordFlag.FINAL) == 0))
            try:
                report.statuses.append((i, ray.get(stored)))
                report.num_steps += num_steps
            except RayActorError:  # its numbers are missing for good: the stacks close there
                report.dead_shards.append(i)
                report.num_lost += num_steps
