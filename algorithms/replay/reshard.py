"""Saved replays taken apart into whole episodes, for another number of shards.

Records are linked along their streams; a chain of links is an episode, or what is held of one. A
chain moves whole and keeps its order. The newest chain of a stream keeps the stream's number, so
that the records to come follow it; older ones get a number of their own, below 0.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algorithms.replay.fragment import Fragment
from algorithms.replay.frame_replay import FrameReplay
from algorithms.replay.prioritized import PrioritizedReplay
from algorithms.replay.shard import make_replay, shard_of
from algorithms.replay.shard_files import read_state

RECORDS_PER_FRAGMENT = 1_024
_NUM_SLICES = 32  # of each old shard, so that their records arrive by age


class Move(NamedTuple):
    """Records on their way to a new shard."""

    shard: int
    fragment: Fragment
    priorities: np.ndarray | None
    """`(K,)` float64; None where rows are drawn uniformly."""


def load_replay(folder: str | os.PathLike[str]) -> FrameReplay:
    """A replay like the one saved in a folder, whatever its capacity was.

    Raises:
        UserError: As `FrameReplay.restore`.
    """
    state = read_state(folder)
    layout = state["store"]["layout"]
    arguments: dict[str, Any] = {
        "capacity": layout["capacity"],
        "frame_shape": layout["frame_shape"],
        "frame_dtype": np.dtype(layout["frame_dtype"]),
        "compression": layout["compression"],
        "max_bytes": None if layout["max_bytes"] < 0 else layout["max_bytes"],
        "stack": state["stack"],
    }
    saved = state.get("priorities")
    exponent = None if saved is None else saved["priority_exponent"]
    replay = make_replay(**arguments, priority_exponent=exponent, rng=np.random.default_rng())
    replay.set_state(state)
    return replay


def reshard(
    folders: Sequence[str | os.PathLike[str]], *, num_streams: int, num_shards: int
) -> Iterator[Move]:
    """Takes saved replays apart, oldest records first.

    All of them are in memory while this runs.

    Args:
        folders: Of the old shards, or of the one replay that there was.
        num_streams: Streams of the runners to come, see `shard_of`.
        num_shards: New shards.

    Yields:
        At most `RECORDS_PER_FRAGMENT` records each.

    Raises:
        UserError: As `FrameReplay.restore`.
    """
    replays = [load_replay(Path(folder)) for folder in folders]
    fill = np.zeros(num_shards, np.int64)
    names = itertools.count(-1, -1)
    plans = [_plan(replay, num_streams, fill, names) for replay in replays]
    for part in range(_NUM_SLICES):
        for replay, (shard, stream, sequence) in zip(replays, plans, strict=True):
            start, stop = (len(shard) * at // _NUM_SLICES for at in (part, part + 1))
            for new in range(num_shards):
                rows = start + np.flatnonzero(shard[start:stop] == new)
                for first in range(0, len(rows), RECORDS_PER_FRAGMENT):
                    some = rows[first : first + RECORDS_PER_FRAGMENT]
                    fragment = replay.records_at(
                        replay.tail + some, stream=stream[some], sequence=sequence[some]
                    )
                    priorities = None
                    if isinstance(replay, PrioritizedReplay):
                        priorities = replay.priorities(replay.tail + some)
                    yield Move(new, fragment, priorities)


def fill(replay: FrameReplay, folders: Sequence[str | os.PathLike[str]], num_streams: int) -> None:
    """Adds the records of saved shards to an empty replay; see `reshard`."""
    for move in reshard(folders, num_streams=num_streams, num_shards=1):
        replay.add(move.fragment)
        if isinstance(replay, PrioritizedReplay) and move.priorities is not None:
            ids = np.arange(replay.head - len(move.fragment), replay.head)
            replay.set_priorities(ids, move.priorities)


def _plan(
    replay: FrameReplay, num_streams: int, fill: np.ndarray, names: Iterator[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shard, stream and sequence number of each held record; adds to the shards' `fill`."""
    chain, position = replay.chains()
    num_chains = int(chain.max(initial=-1)) + 1
    length = np.bincount(chain, minlength=num_chains)
    stream = np.zeros(num_chains, np.int64)
    first_sequence = np.zeros(num_chains, np.int64)
    shard = np.full(num_chains, -1, np.int64)
    for number, id_, sequence in replay.newest_records():
        own = chain[id_ - replay.tail]
        stream[own], first_sequence[own] = number, sequence + 1 - length[own]
        if number >= 0:
            shard[own] = shard_of(np.array(number), num_streams, len(fill))
            fill[shard[own]] += length[own]
    named = np.zeros(num_chains, bool)
    named[[chain[id_ - replay.tail] for _, id_, _ in replay.newest_records()]] = True
    for own in range(num_chains):
        if shard[own] < 0:
            if not named[own] or stream[own] < 0:
                stream[own], first_sequence[own] = next(names), 0
            shard[own] = fill.argmin()
            fill[shard[own]] += length[own]
    return shard[chain], stream[chain], first_sequence[chain] + position
