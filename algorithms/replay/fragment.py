"""What travels from a runner to a replay: numbered records of single frames."""

from dataclasses import dataclass, fields
from enum import IntFlag

import numpy as np


class RecordFlag(IntFlag):
    """What is special about a record. A record in the middle of an episode has no flag."""

    FIRST = 1
    """First frame of an episode: a stack begins here, its older planes are zero."""
    TERMINATED = 2
    """What follows this record's action is worth 0. An n-step window ends here. Allowed in
    mid-episode (a lost life counted as terminal): the stack goes on across it."""
    TRUNCATED = 4
    """The episode was cut after this record's action: an n-step window ends here and
    bootstraps from the next record."""
    FINAL = 8
    """Last frame of an episode. It has no action and starts no transition."""


_DTYPES = {
    "stream": np.int64,
    "sequence": np.int64,
    "frames": np.uint8,
    "sizes": np.int32,
    "action": np.int32,
    "reward": np.float32,
    "flags": np.uint8,
    "goal": np.uint8,
    "duration": np.int32,
}
_ALL_FLAGS = sum(RecordFlag)
_ENDING = RecordFlag.TERMINATED | RecordFlag.TRUNCATED


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fragment:
    """Records of one or more streams, in the order in which they happened.

    A record is one frame and what followed it: `(frame_t, a_t, r_{t+1}, flags)`. A stream is
    one sub-environment; its records are numbered 0, 1, 2, ... without gaps unless something
    was lost. An episode of T steps is T + 1 records, the last of them `FINAL`. A fragment may
    begin and end anywhere in an episode, and may interleave its streams.

    Raises:
        ValueError: If an array has the wrong dtype, rank or length, `frames` is not as long
            as `sizes` say, or a flag is unknown or contradicts another.
    """

    stream: np.ndarray
    """`(K,)` int64, stream of each record."""
    sequence: np.ndarray
    """`(K,)` int64, number of the record in its stream."""
    frames: np.ndarray
    """`(sum(sizes),)` uint8, single frames encoded by a `FrameCodec`, back to back."""
    sizes: np.ndarray
    """`(K,)` int32, bytes of each encoded frame."""
    action: np.ndarray
    """`(K,)` int32, 0 where `FINAL`."""
    reward: np.ndarray
    """`(K,)` float32, the game's own reward, unclipped."""
    flags: np.ndarray
    """`(K,)` uint8, `RecordFlag`s."""
    goal: np.ndarray
    """`(K,)` uint8, the goal pursued with the action; 0 where there are no goals."""
    duration: np.ndarray
    """`(K,)` int32, steps of the environment that the action took, at least 1."""

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                found = (
                    f"{array.dtype} of shape {array.shape}"
                    if isinstance(array, np.ndarray)
                    else type(array).__name__
                )
                raise ValueError(f"{name} must be a vector of {np.dtype(dtype)}, got {found}")
            if name != "frames" and len(array) != len(self.stream):
                raise ValueError(f"{name} has {len(array)} records, stream {len(self.stream)}")
        if (self.sizes <= 0).any():
            raise ValueError(f"sizes must be positive, got {self.sizes.min()}")
        if (self.duration < 1).any():
            raise ValueError(f"duration must be at least 1, got {self.duration.min()}")
        if self.sizes.sum(dtype=np.int64) != len(self.frames):
            raise ValueError(
                f"frames has {len(self.frames)} bytes, sizes add up to {self.sizes.sum()}"
            )
        if (self.flags & ~np.uint8(_ALL_FLAGS)).any():
            raise ValueError(f"flags has {self.flags.max()}, more than {_ALL_FLAGS}")
        final = (self.flags & RecordFlag.FINAL) != 0
        if (self.flags[final] & _ENDING).any():
            raise ValueError(
                "a FINAL record is TERMINATED or TRUNCATED: flag the record before it, "
                "which has the action"
            )

    def __len__(self) -> int:
        """Number of records."""
        return len(self.stream)

    def select(self, mask: np.ndarray) -> "Fragment":
        """The records where a mask, `(K,)` bool, is set, in their order."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        spans = zip((ends - self.sizes)[mask].tolist(), ends[mask].tolist(), strict=True)
        pieces = [self.frames[start:end] for start, end in spans]
        columns = {f.name: getattr(self, f.name)[mask] for f in fields(self) if f.name != "frames"}
        return Fragment(
            frames=np.concatenate(pieces) if pieces else self.frames[:0],
            **columns,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))
