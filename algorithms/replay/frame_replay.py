"""Uniform experience replay over single frames.

The replay memory of Mnih et al. 2013, "Playing Atari with Deep Reinforcement Learning",
section 4 and algorithm 1: the last N transitions, minibatches drawn uniformly. A frame is stored
once and compressed; stacks and n-step returns are put together when sampled.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from algorithms.replay.batch import Batch
from algorithms.replay.codec import Compression, FrameCodec
from algorithms.replay.fragment import Fragment
from algorithms.replay.records import MAX_DEPTH, Windows
from algorithms.replay.shard_files import read_state, write_state
from algorithms.replay.store import FrameStore
from arcadia.errors import UserError

_ENUMERATION_BLOCK = 1 << 16


class FrameReplay:
    """The last records of many streams, sampled as stacked n-step transitions.

    A transition is valid, and so can be sampled, when its record has an action, all frames of
    its stack are held (those before the episode's first are zero planes), and the record after
    its n-step window has come. So a transition is invalid for a while at the newest end, at the
    oldest end when its older planes have been evicted, and for good when its stack or window
    reaches across a gap of the sequence numbers: a gap is never bridged nor filled with zeros.
    A record whose number is not one more than the last of its stream, also a repeated or lower
    number from a runner that began anew, comes after a gap unless it is `FIRST`.

    Ids count all records ever added, so that an id names one record for good; `[tail, head)`
    are held.

    Args:
        capacity: Number of records held. The last frame of an episode, which starts no
            transition, takes a slot too: E ended episodes leave room for `capacity - E`
            transitions.
        frame_shape: Shape of a frame, such as `(84, 84)`.
        frame_dtype: Numeric dtype of a frame.
        stack: Frames in a state, 1 to 256.
        n_step: Most steps in a transition.
        gamma: Discount a record, in `[0, 1]`.
        clip_rewards: Whether each reward is replaced by its sign before it is summed (section
            5 of the paper: "all positive rewards to be 1 and all negative rewards to be -1,
            leaving 0 rewards unchanged").
        discount_durations: Whether gamma is the discount a step of the environment instead, where
            an action takes several: the discount of a semi-Markov decision process.
        compression: `"lz4"` or `"none"`; that of the fragments added.
        max_bytes: Ceiling on `nbytes`, or none. The oldest records go, a chunk of frames (at
            most 4 MiB, at most 1/32 of the frames' share) at a time, until it holds.
        rng: Draws the samples. Its state is part of the replay's.

    Attributes:
        origin: Number that the rows of batches carry, so that whoever joins batches of several
            replays can tell them apart; 0 unless it is set.

    Raises:
        ValueError: If an argument is out of its range, or `max_bytes` cannot hold the metadata
            and the frames of one transition.
    """

    def __init__(
        self,
        *,
        capacity: int,
        frame_shape: Sequence[int],
        frame_dtype: DTypeLike = np.uint8,
        stack: int = 4,
        n_step: int = 1,
        gamma: float = 0.99,
        clip_rewards: bool = False,
        discount_durations: bool = False,
        compression: Compression = "lz4",
        max_bytes: int | None = None,
        rng: np.random.Generator,
    ) -> None:
        if not 1 <= stack <= MAX_DEPTH + 1:
            raise ValueError(f"stack {stack}: must be in [1, {MAX_DEPTH + 1}]")
        if n_step < 1:
            raise ValueError(f"n_step {n_step}: must be at least 1")
        if not 0.0 <= gamma <= 1.0:
            raise ValueError(f"gamma {gamma}: must be in [0, 1]")
        self.stack = stack
        self.n_step = n_step
        self.gamma = gamma
        self.clip_rewards = clip_rewards
        self.discount_durations = discount_durations
        self.codec = FrameCodec(frame_shape, frame_dtype, compression)
        self._store = FrameStore(
            capacity=capacity,
            codec=self.codec,
            max_bytes=max_bytes,
            least_num_records=stack + n_step,
            extra_nbytes=self._extra_nbytes(capacity),
        )
        self._records = self._store.records
        self._rng = rng
        self.origin = 0

    @staticmethod
    def _extra_nbytes(capacity: int) -> int:
        """Bytes that a kind of replay holds besides records and frames."""
        return 0

    def __len__(self) -> int:
        """Held records that have an action, whether or not their window has come."""
        return self._records.num_transitions

    @property
    def tail(self) -> int:
        """Id of the oldest record held."""
        return self._records.tail

    @property
    def head(self) -> int:
        """Id of the next record to come."""
        return self._records.head

    @property
    def nbytes(self) -> int:
        """Bytes held, all overhead included; at most `max_bytes`."""
        return self._store.nbytes

    def add(self, fragment: Fragment) -> None:
        """Appends records, evicting the oldest ones.

        Args:
            fragment: K records whose frames were encoded by a codec like `self.codec`.

        Raises:
            ValueError: If the frames are not of this shape, dtype and compression; nothing is
                added then.
        """
        self._store.add(fragment)

    def is_valid(self, ids: np.ndarray) -> np.ndarray:
        """Whether transitions can be gathered now.

        Args:
            ids: `(B,)` int64, any.

        Returns:
            `(B,)` bool.
        """
        live = (ids >= self.tail) & (ids < self.head)
        _, known = self._records.stacks(ids, self.stack)
        windows = self._windows(ids)
        return live & known & windows.whole

    def valid_ids(self) -> np.ndarray:
        """Ids of all valid transitions, `(V,)` int64, ascending. Looks at every record."""
        blocks = [np.empty(0, dtype=np.int64)]
        for start in range(self.tail, self.head, _ENUMERATION_BLOCK):
            ids = np.arange(start, min(start + _ENUMERATION_BLOCK, self.head))
            blocks.append(ids[self.is_valid(ids)])
        return np.concatenate(blocks)

    def sample(self, batch_size: int) -> Batch:
        """Draws transitions uniformly from the valid ones, with replacement.

        One large draw split into k minibatches equals k draws, and is cheaper.

        Args:
            batch_size: Transitions to draw, at least 1.

        Raises:
            ValueError: If no transition is valid.
        """
        return self.gather(self.sample_ids(batch_size))

    def sample_ids(self, batch_size: int) -> np.ndarray:
        """Draws ids of valid transitions uniformly, with replacement.

        Draws from all records and rejects the invalid ones, which are few but for gaps and
        tiny replays; lists the valid ones once that has become cheaper.

        Args:
            batch_size: Ids to draw, at least 1.

        Returns:
            `(batch_size,)` int64.

        Raises:
            ValueError: If no transition is valid.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: must be at least 1")
        num_live = len(self._records)
        accepted = np.empty(0, dtype=np.int64)
        num_to_draw, num_drawn = batch_size + batch_size // 16 + 1, 0
        while len(accepted) < batch_size and num_drawn < num_live:
            ids = self._rng.integers(self.tail, self.head, num_to_draw)
            accepted = np.concatenate([accepted, ids[self.is_valid(ids)]])
            num_drawn += num_to_draw
            num_to_draw *= 2
        if len(accepted) < batch_size:
            valid = self._list_valid_ids()
            rest = self._rng.integers(0, len(valid), batch_size - len(accepted))
            accepted = np.concatenate([accepted, valid[rest]])
        return accepted[:batch_size]

    def _list_valid_ids(self) -> np.ndarray:
        """As `valid_ids`, of which there must be some."""
        valid = self.valid_ids()
        if not len(valid):
            raise ValueError(
                f"no valid transition to sample among {len(self)} held: "
                f"stack {self.stack} and n_step {self.n_step} need more records in a row"
            )
        return valid

    def gather(self, ids: np.ndarray) -> Batch:
        """Puts transitions together.

        Args:
            ids: `(B,)` int64 of valid transitions; repetitions are fine.

        Raises:
            ValueError: If one of them is not valid (any more).
        """
        ids = np.asarray(ids, dtype=np.int64)
        records = self._records
        live = (ids >= self.tail) & (ids < self.head)
        planes_tm1, known = records.stacks(ids, self.stack)
        windows = self._windows(ids)
        valid = live & known & windows.whole
        if not valid.all():
            raise ValueError(
                f"transition {ids[~valid][0]} is not valid: ids {self.tail} to {self.head - 1} "
                "are held, and its stack and window must be whole"
            )
        # Whole because that of s_tm1 is, and the window is linked.
        planes_t, _ = records.stacks(windows.last, self.stack)
        frames, (planes_tm1, planes_t) = self._frames(planes_tm1, planes_t)
        span = windows.duration if self.discount_durations else windows.num_steps
        discount = np.where(windows.terminated, 0.0, self.gamma**span)
        return Batch(
            frames=frames,
            planes_tm1=planes_tm1,
            planes_t=planes_t,
            a_tm1=records.actions(ids).astype(np.int64),
            r_t=windows.reward.astype(np.float32),
            discount_t=discount.astype(np.float32),
            goal=records.goals(ids).astype(np.int64),
            duration=windows.duration,
            id=ids,
            origin=np.full(len(ids), self.origin),
            weight=np.ones(len(ids), dtype=np.float32),
        )

    def _windows(self, ids: np.ndarray) -> Windows:
        return self._records.windows(
            ids, self.n_step, self.gamma, self.clip_rewards, self.discount_durations
        )

    def _frames(self, *planes: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Decodes the frames of `(B, stack)` ids, each once, zero where -1.

        Returns:
            `(U, *frame_shape)`, and their rows in the places of the ids.
        """
        needed, rows = np.unique(np.concatenate(planes), return_inverse=True)
        num_blank = int(np.count_nonzero(needed < 0))  # 0 or 1: -1 sorts first
        frames = np.empty((len(needed), *self.codec.shape), dtype=self.codec.dtype)
        frames[:num_blank] = 0
        self._store.decode(needed[num_blank:], frames[num_blank:])
        return frames, np.split(rows, len(planes))

    # Taking records out again, for another replay

    def chains(self) -> tuple[np.ndarray, np.ndarray]:
        """Which held records hang together: an episode, or what is held of one.

        Returns:
            `(K,)` int64, the chain of each record in `[tail, head)`, numbered from 0 by the age of
            their first records; and `(K,)` int64, its place in the chain.
        """
        return self._records.chains()

    def newest_records(self) -> list[tuple[int, int, int]]:
        """Stream, id and sequence number of the last record of each stream that has one."""
        return self._records.newest()

    def records_at(self, ids: np.ndarray, *, stream: np.ndarray, sequence: np.ndarray) -> Fragment:
        """Held records, as a fragment under new names.

        Args:
            ids: `(K,)` int64 in `[tail, head)`.
            stream: `(K,)` int64, what their streams are to be called.
            sequence: `(K,)` int64, and their numbers there.
        """
        return self._store.records_at(ids, stream=stream, sequence=sequence)

    def get_state(self, *, copy: bool = True) -> dict[str, Any]:
        """Everything held, as nested dicts and lists of arrays, ints, floats and strings.

        Args:
            copy: Whether to copy what is large; else it is views, valid until the next `add`.
        """
        return {
            "stack": self.stack,
            "store": self._store.get_state(copy=copy),
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up a state: samples and evictions go on as they would have.

        `n_step`, `gamma`, `clip_rewards` and `discount_durations` are applied when sampling, so
        they may differ from those of the replay that the state is from.

        Raises:
            ValueError: If the state is of a replay with another stack, capacity, ceiling,
                shape, dtype or compression; this replay is as before then.
        """
        if state["stack"] != self.stack:
            raise ValueError(
                f"stack of the saved replay is {state['stack']}, this one's {self.stack}"
            )
        self._store.set_state(state["store"])
        self._rng.bit_generator.state = state["rng"]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the state to a folder, without a copy of the frames in memory.

        Raises:
            UserError: If the folder holds a saved state already.
            OSError: If the disk is full, or the folder cannot be written.
        """
        write_state(self.get_state(copy=False), folder)

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Takes up the state that `save` wrote; for that time it is in memory twice.

        Raises:
            UserError: If a file is missing, damaged or foreign, or `set_state` refuses the state;
                this replay is as before then.
            OSError: If a file cannot be read.
        """
        state = read_state(folder)
        if "store" not in state:
            raise UserError(f"{folder}: holds a state, but not a replay's; give the folder of one")
        try:
            self.set_state(state)
        except ValueError as error:
            raise UserError(f"{folder}: {error}; make the replay as the saved one was") from error
