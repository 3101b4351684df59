"""One shard of a replay that is spread over processes.

The protocol between runners, shards and learners, each clause tested in `tests/algorithms/replay`:

- A stream (one sub-environment) always goes to the same shard, see `shard_of`. Its records are
  numbered; a number that does not follow the last one (a fragment was lost, a runner began anew)
  closes stacks and n-step windows, which are never bridged.
- A record's id counts all records of its shard, so that it names one record for good: the slot is
  `id % capacity`, the generation of the slot `id // capacity`. A shard that starts, also again
  after it was killed, draws an `origin`, which every row of its batches carries. A priority comes
  back with origin and id, and one that is late for either is ignored.
- Shards are drawn from in proportion to their priority mass, or to their size where rows are drawn
  uniformly; importance weights are relative to the least priority of all shards, new records enter
  with the greatest. So the shards together draw as one replay of all records would.
- When the number of shards changes, whole episodes move, see `reshard`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.replay.batch import Batch
from algorithms.replay.fragment import Fragment
from algorithms.replay.frame_replay import FrameReplay
from algorithms.replay.prioritized import PrioritizedReplay
from algorithms.replay.shard_files import INDEX_NAME

PIECE_BYTES = 32 << 20
"""Longest piece of a saved shard on its way to another machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardStatus:
    """What is known of a shard without asking it again; a few bytes, in every answer."""

    origin: int
    """Number of this incarnation of the shard."""
    number: int
    """Of this status; later ones have greater numbers, whichever comes first."""
    num_transitions: int
    """Held records that have an action."""
    has_evicted: bool
    """Whether it is full, so that old records leave."""
    mass: float
    """What it is drawn in proportion to: the sum of its priorities, or its size; 0 as long as there
    is nothing to draw."""
    priority_min: float
    """Least positive priority; infinite where there is none, 1 where rows are drawn uniformly."""
    priority_max: float
    """What new records enter with; 1 where rows are drawn uniformly."""
    num_bytes: int
    """`FrameReplay.nbytes`."""


def shard_of(stream: np.ndarray, num_streams: int, num_shards: int) -> np.ndarray:
    """The shard that each stream goes to: as many streams to each, neighbours together.

    So a runner's streams go to few shards, and every shard gets some where there are at least as
    many streams as shards.

    Args:
        stream: int64, from 0 to `num_streams` - 1; streams beyond go round.
        num_streams: Streams there are.
        num_shards: S.

    Returns:
        int64 from 0 to S - 1, of the shape of `stream`.
    """
    return stream % num_streams * num_shards // num_streams


def split_by_shard(
    fragment: Fragment, num_streams: int, num_shards: int
) -> list[tuple[int, Fragment]]:
    """The parts of a fragment that go to each shard, in the order of its records."""
    shard = shard_of(fragment.stream, num_streams, num_shards)
    if (shard == shard[0]).all():
        return [(int(shard[0]), fragment)]
    return [(int(one), fragment.select(shard == one)) for one in np.unique(shard)]


def make_replay(*, priority_exponent: float | None, **arguments: Any) -> FrameReplay:
    """A replay that draws uniformly, or, with a `priority_exponent`, by priority.

    Args:
        priority_exponent: As `PrioritizedReplay`; None: uniformly.
        **arguments: As `FrameReplay`.
    """
    if priority_exponent is None:
        return FrameReplay(**arguments)
    return PrioritizedReplay(**arguments, priority_exponent=priority_exponent)


class ReplayShard:
    """Stores fragments and answers with batches; a Ray actor, or an object like any other.

    Args:
        arguments: Of `make_replay`, without `rng`; the capacity is the shard's own.
        seed: Of its draws; None: no two runs are alike.
    """

    def __init__(self, arguments: dict[str, Any], seed: int | list[int] | None = None) -> None:
        self._arguments, self._rng = arguments, np.random.default_rng(seed)
        self._pieces: str | None = None
        self._num_told = 0
        self.clear()

    def clear(self) -> None:
        """Empties it; what others know of its records is void."""
        self.replay = make_replay(**self._arguments, rng=self._rng)
        self.replay.origin = secrets.randbits(62)
        self._can_draw = False

    def status(self) -> ShardStatus:
        """What is in it now."""
        replay = self.replay
        prioritized = isinstance(replay, PrioritizedReplay)
        mass = replay.priority_total if prioritized else float(len(replay))
        self._num_told += 1
        return ShardStatus(
            origin=replay.origin,
            number=self._num_told,
            num_transitions=len(replay),
            has_evicted=replay.tail > 0,
            mass=mass if self._can_draw else 0.0,
            priority_min=replay.priority_min if prioritized else 1.0,
            priority_max=replay.priority_max if prioritized else 1.0,
            num_bytes=replay.nbytes,
        )

    def place(self) -> tuple[str, int]:
        """Id of the Ray node it is on, and its process."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()

    def add(self, fragment: Fragment, priorities: np.ndarray | None = None) -> ShardStatus:
        """Stores records; once this returns they are there.

        Args:
            fragment: K records.
            priorities: `(K,)` float64 that they enter with; None: as new ones do. Only for records
                that come from another shard.

        Raises:
            ValueError: As `FrameReplay.add`.
        """
        head = self.replay.head
        self.replay.add(fragment)
        if priorities is not None and isinstance(self.replay, PrioritizedReplay):
            self.replay.set_priorities(np.arange(head, self.replay.head), priorities)
        if not self._can_draw:
            self._can_draw = len(self.replay.valid_ids()) > 0
        return self.status()

    def sample(
        self,
        *batch_sizes: int,
        importance_exponent: float | None = None,
        priority_min: float | None = None,
        priority_max: float | None = None,
    ) -> tuple[Batch | ShardStatus | None, ...]:
        """Draws batches, one for each of those who learn.

        Args:
            *batch_sizes: How many transitions are in each.
            importance_exponent: See `PrioritizedReplay`; None: as it is.
            priority_min: Least priority of all shards; None: this one is alone.
            priority_max: Greatest priority of all shards, with which new records enter from now on.

        Returns:
            The batches, each None as long as the shard's `mass` is 0, and last its status.
        """
        replay = self.replay
        if not self._can_draw:
            return *([None] * len(batch_sizes)), self.status()
        if not isinstance(replay, PrioritizedReplay):
            return *(replay.sample(size) for size in batch_sizes), self.status()
        if importance_exponent is not None:
            replay.importance_exponent = importance_exponent
        if priority_max is not None:
            replay.priority_max = max(replay.priority_max, priority_max)
        least = None if priority_min is None else min(priority_min, replay.priority_min)
        return *(replay.sample(size, priority_min=least) for size in batch_sizes), self.status()

    def update_priorities(self, origin: int, ids: np.ndarray, errors: np.ndarray) -> ShardStatus:
        """Sets priorities by what a learner found.

        Args:
            origin: Which incarnation the ids are of; another's are ignored.
            ids: `(B,)` int64; those overwritten meanwhile are ignored.
            errors: `(B,)` float, see `PrioritizedReplay.update_priorities`.
        """
        if origin == self.replay.origin and isinstance(self.replay, PrioritizedReplay):
            self.replay.update_priorities(ids, errors)
        return self.status()

    # Its state, as files

    def save(self, folder: str) -> None:
        """Writes its state to a folder of the machine it is on; see `FrameReplay.save`."""
        self.replay.save(folder)

    def restore(self, folder: str) -> ShardStatus:
        """Takes up a state from a folder of the machine it is on; see `FrameReplay.restore`.

        What other shards and learners know of its records is void: it gets a new origin.
        """
        self.replay.restore(folder)
        self.replay.origin = secrets.randbits(62)
        self._can_draw = len(self.replay.valid_ids()) > 0
        return self.status()

    def read_pieces(self) -> Iterator[tuple[str, bytes]]:
        """What `save` writes, for a folder on another machine: file names and bytes that follow one
        another, at most `PIECE_BYTES` at a time, the index last."""
        with tempfile.TemporaryDirectory(prefix="arcadia-") as temporary:
            folder = Path(temporary) / "shard"
            self.replay.save(folder)
            yield from pieces_of(folder)

    def write_piece(self, name: str, data: bytes) -> None:
        """Takes a piece of a saved state from another machine; `restore_pieces` takes it up."""
        if self._pieces is None:
            self._pieces = tempfile.mkdtemp(prefix="arcadia-")
        with open(Path(self._pieces) / Path(name).name, "ab") as file:
            file.write(data)

    def restore_pieces(self) -> ShardStatus:
        """As `restore`, of the pieces that came."""
        assert self._pieces is not None, "no piece has come"
        try:
            return self.restore(self._pieces)
        finally:
            shutil.rmtree(self._pieces, ignore_errors=True)
            self._pieces = None


def pieces_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a saved state in pieces, the index last: without it there is no state."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == INDEX_NAME, path.name)):
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield path.name, piece
