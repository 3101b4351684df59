"""Experience replay that draws what was learnt worst most often.

Proportional prioritization of Schaul et al. 2016, "Prioritized Experience Replay", sections 3.3
and 3.4 and algorithm 1, over the frames and streams of `FrameReplay`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from algorithms.replay.batch import Batch
from algorithms.replay.codec import Compression
from algorithms.replay.fragment import Fragment
from algorithms.replay.frame_replay import FrameReplay
from algorithms.replay.sum_tree import SumTree

ERROR_EPSILON = 1e-6
"""Added to every absolute error, so that a transition without one is still drawn at times. The
paper gives no value."""
MAX_PRIORITY_EXPONENT = 10.0
"""Beyond it, priorities of small errors would vanish and those of large ones overflow."""
_FIRST_PRIORITY = 1.0  # until an error is known: p_1 of algorithm 1


class PrioritizedReplay(FrameReplay):
    """A `FrameReplay` that draws transition i with probability `P(i) = p_i / sum_k p_k`.

    The priority is `p_i = (|td error| + 1e-6) ** priority_exponent`. A record comes in at the
    greatest priority that any has had, so that each is likely seen once before its error is known.
    Evicted records, those without an action and those that turn out, when drawn, never to become
    valid (see `FrameReplay`) have priority 0.

    The draws of a batch are stratified (appendix B.2.1): one from each of `batch_size` equal parts
    of the sum, in random order, so that the batch can be split into minibatches.

    Args:
        priority_exponent: alpha of the paper, in `[0, 10]`; 0 draws uniformly.
        importance_exponent: beta of the paper, at least 0.

    The other arguments and the errors are those of `FrameReplay`; the priorities count in `nbytes`
    and so against `max_bytes`.

    Attributes:
        importance_exponent: May be set at any time; the weights of later batches follow it.
        priority_max: What new records enter with: the greatest priority that any has had. A shard
            of a larger replay takes up that of the whole.
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
        compression: Compression = "lz4",
        max_bytes: int | None = None,
        priority_exponent: float,
        importance_exponent: float = 1.0,
        rng: np.random.Generator,
    ) -> None:
        if not 0.0 <= priority_exponent <= MAX_PRIORITY_EXPONENT:
            raise ValueError(
                f"priority_exponent {priority_exponent}: must be in [0, {MAX_PRIORITY_EXPONENT:g}]"
            )
        super().__init__(
            capacity=capacity,
            frame_shape=frame_shape,
            frame_dtype=frame_dtype,
            stack=stack,
            n_step=n_step,
            gamma=gamma,
            clip_rewards=clip_rewards,
            compression=compression,
            max_bytes=max_bytes,
            rng=rng,
        )
        self.capacity = capacity
        self.priority_exponent = priority_exponent
        self.importance_exponent = importance_exponent
        self._tree = SumTree(capacity)
        self.priority_max = _FIRST_PRIORITY

    @staticmethod
    def _extra_nbytes(capacity: int) -> int:
        return SumTree.metadata_nbytes(capacity)

    @property
    def priority_total(self) -> float:
        """Sum of all priorities. A shard of a larger replay that is drawn from in proportion to
        this draws every transition as the whole replay would."""
        return self._tree.total

    @property
    def priority_min(self) -> float:
        """Least of the positive priorities; infinite where there is none."""
        return self._tree.minimum

    def add(self, fragment: Fragment) -> None:
        """Appends records at the greatest priority so far, evicting the oldest ones.

        Args:
            fragment: K records whose frames were encoded by a codec like `self.codec`.

        Raises:
            ValueError: As `FrameReplay.add`; nothing is added then.
        """
        tail, head = self.tail, self.head
        super().add(fragment)
        evicted = np.arange(tail, min(self.tail, head))
        # A slot that is both holds a new record: of a repeated slot the last value counts.
        self._set(np.concatenate([evicted, np.arange(max(self.tail, head), self.head)]))

    def _set(self, ids: np.ndarray) -> None:
        """Gives records the greatest priority if they are live and have an action, else 0."""
        playable = (ids >= self.tail) & self._records.have_actions(ids)
        self._tree.set(ids % self.capacity, np.where(playable, self.priority_max, 0.0))

    def update_priorities(self, ids: np.ndarray, td_error_abs: np.ndarray) -> None:
        """Sets priorities by the errors that were found when learning.

        Args:
            ids: `(B,)` int64, `id` of a batch. Those evicted meanwhile are ignored. Of one that is
                repeated the last error counts.
            td_error_abs: `(B,)` float, absolute errors (or any other measure of what there is to
                learn that is not negative).

        Raises:
            ValueError: If the shapes differ, or an error is negative, infinite, not a number or so
                great that its priority is infinite; nothing is changed then.
        """
        ids, errors = np.asarray(ids, dtype=np.int64), np.asarray(td_error_abs, dtype=np.float64)
        if ids.ndim != 1 or errors.shape != ids.shape:
            raise ValueError(f"ids are {ids.shape}, td_error_abs {errors.shape}: must be (B,) both")
        with np.errstate(over="ignore", invalid="ignore"):
            priorities = (errors + ERROR_EPSILON) ** self.priority_exponent
        refused = ~((errors >= 0) & (errors < np.inf) & (priorities < np.inf))
        if refused.any():
            raise ValueError(
                f"td_error_abs {errors[refused][0]} of transition {ids[refused][0]}: must be "
                f"finite, also to the power of {self.priority_exponent:g}, and at least 0"
            )
        slots = ids % self.capacity
        known = (ids >= self.tail) & (ids < self.head) & (self._tree.get(slots) > 0)
        if known.any():
            self._tree.set(slots[known], priorities[known])
            self.priority_max = max(self.priority_max, float(priorities[known].max()))

    def priorities(self, ids: np.ndarray) -> np.ndarray:
        """Priorities of held records, float64."""
        return self._tree.get(ids % self.capacity)

    def set_priorities(self, ids: np.ndarray, priorities: np.ndarray) -> None:
        """Sets priorities as they are; for records that come from another replay.

        Args:
            ids: `(K,)` int64; those not held, and those without an action, are left out.
            priorities: `(K,)` float64, finite and at least 0.
        """
        known = (ids >= self.tail) & (ids < self.head) & self._records.have_actions(ids)
        self._tree.set(ids[known] % self.capacity, priorities[known])
        self.priority_max = max(self.priority_max, float(priorities.max(initial=0.0)))

    def sample(self, batch_size: int, *, priority_min: float | None = None) -> Batch:
        """Draws transitions by priority, with replacement.

        Args:
            batch_size: Transitions to draw, at least 1.
            priority_min: See `gather`.

        Raises:
            ValueError: If no transition is valid.
        """
        return self.gather(self.sample_ids(batch_size), priority_min=priority_min)

    def sample_ids(self, batch_size: int) -> np.ndarray:
        """Draws ids of valid transitions by priority, with replacement.

        Draws from all records. One that is not valid is drawn again, anywhere; those that will
        never be valid lose their priority. The valid ones are listed once that has become cheaper.

        Args:
            batch_size: Ids to draw, at least 1.

        Returns:
            `(batch_size,)` int64.

        Raises:
            ValueError: If no transition is valid.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: must be at least 1")
        accepted = np.empty(0, dtype=np.int64)
        num_drawn, num_per_missing = 0, 1
        while len(accepted) < batch_size and num_drawn < len(self._records):
            if not self._tree.total:
                break
            ids = self._draw(num_per_missing * (batch_size - len(accepted)))
            num_drawn += len(ids)
            num_per_missing *= 2
            valid = self.is_valid(ids)
            accepted = np.concatenate([accepted, ids[valid]])
            if not valid.all():
                self._forget_hopeless(ids[~valid])
        if len(accepted) < batch_size:
            rest = self._draw_listed(batch_size - len(accepted))
            accepted = np.concatenate([accepted, rest])
        return accepted[:batch_size]

    def _draw(self, count: int) -> np.ndarray:
        """One live id from each of `count` equal parts of the sum, in random order."""
        parts = self._rng.permutation(count) + self._rng.random(count)
        slots = self._tree.find(parts * (self._tree.total / count))
        return self.tail + (slots - self.tail) % self.capacity

    def _draw_listed(self, count: int) -> np.ndarray:
        valid = self._list_valid_ids()
        ends = np.cumsum(self._tree.get(valid % self.capacity))
        places = np.searchsorted(ends, self._rng.random(count) * ends[-1], side="right")
        return valid[np.minimum(places, len(valid) - 1)]

    def _forget_hopeless(self, ids: np.ndarray) -> None:
        """Takes the priority of those that no record to come can make valid."""
        _, known = self._records.stacks(ids, self.stack)
        windows = self._records.windows(ids, self.n_step, self.gamma, self.clip_rewards)
        hopeless = ids[~(known & (windows.whole | self._records.are_newest(windows.last)))]
        self._tree.set(hopeless % self.capacity, np.zeros(len(hopeless)))

    def gather(self, ids: np.ndarray, *, priority_min: float | None = None) -> Batch:
        """Puts transitions together, with their importance weights.

        `w_i = (N * P(i)) ** -importance_exponent / max_k w_k`, the greatest over all of the
        replay, not the batch (section 3.4), with the few records that cannot be drawn now. N and
        the sum of the priorities are the same in both, so that what is left of it is
        `w_i = (p_i / priority_min) ** -importance_exponent`, at most 1.

        Args:
            ids: `(B,)` int64 of valid transitions; repetitions are fine.
            priority_min: Least priority in the whole of a replay of which this is a shard, when
                shards are drawn from in proportion to `priority_total`; by default this one's.

        Raises:
            ValueError: If one of them is not valid (any more).
        """
        batch = super().gather(ids)
        least = self.priority_min if priority_min is None else priority_min
        relative = self._tree.get(batch.id % self.capacity) / least
        weight = (relative**-self.importance_exponent).astype(np.float32)
        return replace(batch, weight=weight)

    def get_state(self, *, copy: bool = True) -> dict[str, Any]:
        """As `FrameReplay.get_state`, with the priorities."""
        return super().get_state(copy=copy) | {
            "priorities": {
                "priority_exponent": self.priority_exponent,
                "importance_exponent": self.importance_exponent,
                "greatest": self.priority_max,
                "tree": self._tree.get_state(copy=copy),
            }
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up a state: samples, weights and evictions go on as they would have.

        With the state of a uniform replay, all transitions have the same priority. The other way
        round, a `FrameReplay` takes up the state of this one and leaves the priorities.

        Raises:
            ValueError: As `FrameReplay.set_state`, or if the state is of a replay with another
                `priority_exponent`; this replay is as before then.
        """
        saved = state.get("priorities")
        if saved is not None and saved["priority_exponent"] != self.priority_exponent:
            raise ValueError(
                f"priority_exponent of the saved replay is {saved['priority_exponent']}, "
                f"this one's {self.priority_exponent}"
            )
        super().set_state(state)
        if saved is not None:
            self.importance_exponent = saved["importance_exponent"]
            self.priority_max = saved["greatest"]
            self._tree.set_state(saved["tree"])
        else:
            self.priority_max = _FIRST_PRIORITY
            self._tree.set_state({"leaves": np.zeros(self.capacity)})
            self._set(np.arange(self.tail, self.head))
