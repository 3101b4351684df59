"""In which order training sees its pictures: a function of the seed alone.

In every epoch the row groups of the prepared data are put in a new order, and this is cut into
streams of equal length. A batch takes as many rows from each stream; a worker reads some of the
streams. So the pictures of a batch do not depend on the number of workers, all of them make equally
many steps, and where a run is in its data is told by two numbers.

    epoch 3   group 17, 4, 22 | 9, 31, 2 | 0, 13, 25 | 8, 30, 11       every row once
              stream 0          stream 1   stream 2    stream 3
              worker 0 of 2                worker 1
    batch 5   rows 80 to 95 of each stream
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arcadia.errors import UserError

_GROUPS, _ROWS, _PICTURE = 1, 2, 3  # what random numbers are for
_STREAMS = 8  # where the batch can be shared out so: the more, the more groups are in a batch


class Place(NamedTuple):
    """One row of the data."""

    group: int
    row: int
    """In its group."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run is in its data: so many batches of an epoch are done."""

    epoch: int = 0
    batch: int = 0


class Order:
    """The order of all epochs.

    Args:
        rows: of each row group, above 0.
        batch_size: of all workers together; a multiple of `num_streams`.
        num_streams: see `num_streams_for`.
        seed: of it all.

    Raises:
        UserError: there are too few rows for one batch.
    """

    def __init__(self, rows: Sequence[int], *, batch_size: int, num_streams: int, seed: int):
        if batch_size % num_streams:
            raise ValueError(f"batch_size {batch_size}: must be a multiple of {num_streams}")
        self._rows = list(rows)
        self._seed = seed
        self.num_streams = num_streams
        self.rows_per_batch = batch_size // num_streams
        """Of each stream."""
        self._stream_rows = sum(self._rows) // num_streams
        self.num_batches = self._stream_rows // self.rows_per_batch
        """Of an epoch. Fewer rows than a batch are left over, others in each epoch."""
        if self.num_batches == 0:
            raise UserError(
                f"batch_size {batch_size}: there are {sum(self._rows):,} pictures to train on; "
                "give a smaller batch or more pictures"
            )

    def next(self, position: Position) -> Position:
        """Where a run is after one more batch."""
        if position.batch + 1 < self.num_batches:
            return Position(epoch=position.epoch, batch=position.batch + 1)
        return Position(epoch=position.epoch + 1)

    def streams_of(self, worker: int, num_workers: int) -> range:
        """The streams that a worker reads."""
        share = self.num_streams // num_workers
        return range(worker * share, (worker + 1) * share)

    def batches(self, streams: range, since: Position) -> Iterator[tuple[Position, list[Place]]]:
        """The rows of some streams, batch by batch, without end.

        Args:
            streams: those of a worker.
            since: the first batch.

        Yields:
            A batch's position, and its rows, stream by stream.
        """
        for epoch in itertools.count(since.epoch):
            order = self._groups(epoch)
            starts = [0, *itertools.accumulate(self._rows[group] for group in order)]
            own = [self._stream(epoch, stream, order, starts) for stream in streams]
            first = since.batch if epoch == since.epoch else 0
            skipped = [itertools.islice(s, first * self.rows_per_batch, None) for s in own]
            for batch in range(first, self.num_batches):
                rows = [next(s) for s in skipped for _ in range(self.rows_per_batch)]
                yield Position(epoch=epoch, batch=batch), rows

    def picture_rng(self, epoch: int, place: Place) -> np.random.Generator:
        """Random numbers for what is done to one picture in one epoch."""
        return np.random.default_rng((self._seed, _PICTURE, epoch, *place))

    def _groups(self, epoch: int) -> list[int]:
        rng = np.random.default_rng((self._seed, _GROUPS, epoch))
        return rng.permutation(len(self._rows)).tolist()

    def _stream(
        self, epoch: int, stream: int, order: Sequence[int], starts: Sequence[int]
    ) -> Iterator[Place]:
        first = stream * self._stream_rows
        stop = first + self._stream_rows
        at = bisect.bisect_right(starts, first) - 1
        while first < stop:
            group = order[at]
            rng = np.random.default_rng((self._seed, _ROWS, epoch, group))
            rows = rng.permutation(self._rows[group])
            for row in rows[first - starts[at] : stop - starts[at]].tolist():
                yield Place(group, row)
            at += 1
            first = starts[at]


def num_streams_for(batch_size: int, num_workers: int) -> int:
    """How many streams a new run reads: a multiple of its workers, about eight.

    Raises:
        UserError: the batch cannot be shared out evenly.
    """
    if batch_size % num_workers:
        near = max(round(batch_size / num_workers), 1) * num_workers
        raise UserError(
            f"batch_size {batch_size}: must be a multiple of the {num_workers} workers, such as "
            f"{near}"
        )
    per_worker = max(_STREAMS // num_workers, 1)
    return num_workers * math.gcd(batch_size // num_workers, per_worker)
