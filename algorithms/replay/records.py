"""What is known of each record besides its frame, and how records hang together."""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from algorithms.replay.fragment import RecordFlag

MAX_DEPTH = 255
"""Frames of its episode before a record are counted up to here. Also the depth of a record
after a gap, so that its stack reaches for frames that are not there."""
STREAM_OVERHEAD_BYTES = 384
"""What an entry of the table of streams takes (key, tuple, two ints, links), rounded up."""

# Plain bytes: looking up a member of an enum costs as much as the numpy call that uses it.
_FIRST = np.uint8(RecordFlag.FIRST)
_TERMINATED = np.uint8(RecordFlag.TERMINATED)
_FINAL = np.uint8(RecordFlag.FINAL)
_ENDING = np.uint8(RecordFlag.TERMINATED | RecordFlag.TRUNCATED)
_COLUMNS = {
    "prev": np.uint32,
    "next": np.uint32,
    "depth": np.uint8,
    "flags": np.uint8,
    "action": np.int32,
    "reward": np.float32,
    "goal": np.uint8,
    "duration": np.int32,
}


class Windows(NamedTuple):
    """The n-step windows that begin at B records."""

    whole: np.ndarray
    """`(B,)` bool, whether all records of the window are there; else only `last` means anything."""
    last: np.ndarray
    """`(B,)` int64, id of the record after the window; where that is not there, of the record after
    which the window breaks off."""
    num_steps: np.ndarray
    """`(B,)` int64 in `[1, n_step]`."""
    duration: np.ndarray
    """`(B,)` int64, steps of the environment in the window."""
    terminated: np.ndarray
    """`(B,)` bool."""
    reward: np.ndarray
    """`(B,)` float64, discounted sum."""


class RecordRing:
    """A ring of records over all streams, linked along each stream.

    A record's id counts all records ever added; those in `[tail, head)` are live and lie in
    slot `id % capacity`. Links are differences of ids, 0 where there is none, and no link is
    made across a gap of the sequence numbers, an episode's end or an episode's beginning. So a
    stack and a window are found by following links, for all rows of a batch at a time.

    Args:
        capacity: Number of slots.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # Zeros come from untouched pages: a large ring takes memory as it fills.
        self._columns: dict[str, np.ndarray] = {
            name: np.zeros(capacity, dtype) for name, dtype in _COLUMNS.items()
        }
        self._prev = self._columns["prev"]
        self._next = self._columns["next"]
        self._depth = self._columns["depth"]
        self._flags = self._columns["flags"]
        self._action = self._columns["action"]
        self._reward = self._columns["reward"]
        self._goal = self._columns["goal"]
        self._duration = self._columns["duration"]
        self.tail = 0
        self.head = 0
        self.num_transitions = 0
        # stream -> (id, sequence) of its last record, ordered by id, live ones only.
        self._last: OrderedDict[int, tuple[int, int]] = OrderedDict()

    @staticmethod
    def metadata_nbytes(capacity: int) -> int:
        """Bytes of the columns of a ring, touched or not."""
        return capacity * sum(np.dtype(dtype).itemsize for dtype in _COLUMNS.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, touched or not, and of the table of streams."""
        return self.metadata_nbytes(self.capacity) + len(self._last) * STREAM_OVERHEAD_BYTES

    def __len__(self) -> int:
        """Number of live records."""
        return self.head - self.tail

    def append(
        self,
        *,
        stream: np.ndarray,
        sequence: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        flags: np.ndarray,
        goal: np.ndarray,
        duration: np.ndarray,
    ) -> None:
        """Appends K records, at most `capacity - len(self)`, and links them.

        Args:
            stream: `(K,)` int64.
            sequence: `(K,)` int64.
            action: `(K,)` int32.
            reward: `(K,)` float32.
            flags: `(K,)` uint8.
            goal: `(K,)` uint8.
            duration: `(K,)` int32.
        """
        ids = np.arange(self.head, self.head + len(stream))
        slots = ids % self.capacity
        self._prev[slots] = 0
        self._next[slots] = 0
        self._flags[slots] = flags
        self._action[slots] = action
        self._reward[slots] = reward
        self._goal[slots] = goal
        self._duration[slots] = duration
        self.head += len(stream)
        self.num_transitions += _num_transitions(flags)
        # Stable, so that each stream's records stay in their order.
        order = np.argsort(stream, kind="stable")
        self._link(ids[order], stream[order], sequence[order])

    def _link(self, ids: np.ndarray, stream: np.ndarray, sequence: np.ndarray) -> None:
        """Links new records, grouped by stream, to the record before each; sets the depths."""
        size = self.capacity
        new_stream = np.ones(len(ids), dtype=bool)
        new_stream[1:] = stream[1:] != stream[:-1]
        before = np.roll(ids, 1)
        before_sequence = np.roll(sequence, 1)
        for row in np.flatnonzero(new_stream):
            before[row], before_sequence[row] = self._last.get(int(stream[row]), (-1, -1))

        first = (self._flags[ids % size] & _FIRST) != 0
        after_final = (self._flags[before % size] & _FINAL) != 0
        follows = sequence == before_sequence + 1
        linked = (before >= 0) & follows & ~first & ~after_final
        difference = (ids - before)[linked]
        self._prev[ids[linked] % size] = difference
        self._next[before[linked] % size] = difference

        # Depth counts on from the last row whose depth is known without counting.
        starts = new_stream | ~linked
        depth = np.where(first, 0, MAX_DEPTH)
        known = self._depth[before % size].astype(np.int64) + 1
        depth = np.where(linked, known, depth)
        rows = np.arange(len(ids))
        start = np.maximum.accumulate(np.where(starts, rows, 0))
        depth = depth[start] + rows - start
        self._depth[ids % size] = np.minimum(depth, MAX_DEPTH)

        # Entries stay ordered by id, so that eviction finds the dead ones at the front.
        last = np.flatnonzero(np.roll(new_stream, -1))
        for row in last[np.argsort(ids[last])]:
            key = int(stream[row])
            self._last[key] = (int(ids[row]), int(sequence[row]))
            self._last.move_to_end(key)

    def evict(self, count: int) -> None:
        """Forgets the oldest `count` records, at most `len(self)`."""
        slots = np.arange(self.tail, self.tail + count) % self.capacity
        self.num_transitions -= _num_transitions(self._flags[slots])
        self.tail += count
        while self._last and next(iter(self._last.values()))[0] < self.tail:
            self._last.popitem(last=False)

    def actions(self, ids: np.ndarray) -> np.ndarray:
        """Actions of live records, int32."""
        return self._action[ids % self.capacity]

    def goals(self, ids: np.ndarray) -> np.ndarray:
        """Goals of live records, uint8."""
        return self._goal[ids % self.capacity]

    def have_actions(self, ids: np.ndarray) -> np.ndarray:
        """Whether live records have an action, bool."""
        return (self._flags[ids % self.capacity] & _FINAL) == 0

    def are_newest(self, ids: np.ndarray) -> np.ndarray:
        """Whether live records are the last of their streams, so that others may follow, bool."""
        return np.isin(ids, [id_ for id_, _ in self._last.values()])

    def columns(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """`action`, `reward`, `flags`, `goal` and `duration` of live records."""
        slots = ids % self.capacity
        return {
            "action": self._action[slots],
            "reward": self._reward[slots],
            "flags": self._flags[slots],
            "goal": self._goal[slots],
            "duration": self._duration[slots],
        }

    def newest(self) -> list[tuple[int, int, int]]:
        """Stream, id and sequence number of the last live record of each stream."""
        return [(stream, id_, number) for stream, (id_, number) in self._last.items()]

    def chains(self) -> tuple[np.ndarray, np.ndarray]:
        """Chain and place in it of each live record; see `FrameReplay.chains`."""
        ids = np.arange(self.tail, self.head)
        before = ids - self._prev[ids % self.capacity]
        starts = (before == ids) | (before < self.tail)
        chain, position = np.cumsum(starts) - 1, np.zeros(len(ids), np.int64)
        linked = np.flatnonzero(~starts).tolist()
        rows = (before - self.tail).tolist()
        for row in linked:  # in the order of ids, so that what comes before is known
            chain[row], position[row] = chain[rows[row]], position[rows[row]] + 1
        return chain, position

    def stacks(self, ids: np.ndarray, stack: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the records whose frames make a stack.

        Args:
            ids: `(B,)` int64 of live records.
            stack: Planes, at most `MAX_DEPTH + 1`.

        Returns:
            `(B, stack)` int64, ids from the oldest plane to the newest, -1 for a plane before
            the episode's first; and `(B,)` bool, whether all planes of the episode are there,
            else the row means nothing.
        """
        planes = np.full((len(ids), stack), -1, dtype=np.int64)
        planes[:, -1] = ids
        whole = np.ones(len(ids), dtype=bool)
        depth = self._depth[ids % self.capacity]
        current = ids
        for back in range(1, stack):
            difference = self._prev[current % self.capacity]
            current = current - difference
            inside = depth >= back
            whole &= ~inside | ((difference > 0) & (current >= self.tail))
            planes[:, -1 - back] = np.where(inside, current, -1)
        return planes, whole

    def windows(
        self,
        ids: np.ndarray,
        n_step: int,
        gamma: float,
        clip_rewards: bool,
        discount_durations: bool = False,
    ) -> Windows:
        """Follows the n-step windows that begin at records.

        A window ends after `n_step` actions, after a `TERMINATED` or `TRUNCATED` record, or
        where the episode's `FINAL` record is reached.

        Args:
            ids: `(B,)` int64 of live records.
            n_step: Most actions in a window.
            gamma: Discount a record.
            clip_rewards: Whether to sum the signs of the rewards.
            discount_durations: Whether gamma is the discount a step of the environment instead.
        """
        last = ids
        flags = self._flags[ids % self.capacity]
        whole = (flags & _FINAL) == 0
        going = whole.copy()
        terminated = np.zeros(len(ids), dtype=bool)
        num_steps = np.zeros(len(ids), dtype=np.int64)
        duration = np.zeros(len(ids), dtype=np.int64)
        total = np.zeros(len(ids), dtype=np.float64)
        for step in range(n_step):
            slots = last % self.capacity
            reward = self._reward[slots]
            if clip_rewards:
                reward = np.sign(reward)
            discount = gamma**duration if discount_durations else gamma**step
            total += np.where(going, discount * reward.astype(np.float64), 0.0)
            difference = self._next[slots]
            terminated |= going & ((flags & _TERMINATED) != 0)
            ending = (flags & _ENDING) != 0
            num_steps += going
            duration += going * self._duration[slots]
            whole &= ~going | (difference > 0)
            last = np.where(going, last + difference, last)
            flags = self._flags[last % self.capacity]
            going &= ~ending & (difference > 0) & ((flags & _FINAL) == 0)
        return Windows(whole, last, num_steps, duration, terminated, total)

    def get_state(self) -> dict[str, Any]:
        """The live records, oldest first, as arrays and ints."""
        slots = np.arange(self.tail, self.head) % self.capacity
        columns = {name: column[slots] for name, column in self._columns.items()}
        last = np.array([(key, *value) for key, value in self._last.items()], dtype=np.int64)
        return {"tail": self.tail, "last": last.reshape(-1, 3), **columns}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up the state of a ring of the same capacity."""
        self.tail = int(state["tail"])
        self.head = self.tail + len(state["flags"])
        slots = np.arange(self.tail, self.head) % self.capacity
        for name, column in self._columns.items():
            column[slots] = state[name]
        self.num_transitions = _num_transitions(state["flags"])
        self._last.clear()
        self._last.update((stream, (id_, number)) for stream, id_, number in state["last"].tolist())


def _num_transitions(flags: np.ndarray) -> int:
    """Records that have an action."""
    return int(np.count_nonzero((flags & _FINAL) == 0))
