"""Fragments and transitions written as tables, for the tests of the replay."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from algorithms.replay import Fragment, FrameCodec, FrameReplay, RecordFlag

LETTERS = {
    "F": RecordFlag.FIRST,
    "T": RecordFlag.TERMINATED,
    "C": RecordFlag.TRUNCATED,
    "E": RecordFlag.FINAL,
    ".": RecordFlag(0),
}


def table(
    flags: str,
    *,
    frames: Sequence[int] | np.ndarray,
    rewards: Sequence[float] | None = None,
    stream: int | Sequence[int] = 0,
    sequence: int | Sequence[int] = 0,
    goals: Sequence[int] | None = None,
    durations: Sequence[int] | None = None,
    codec: FrameCodec | None = None,
) -> Fragment:
    """Makes a fragment of a line such as `"F . T . C E"`, a word a record.

    F is the first frame of an episode, T terminated, C cut (truncated), E the final frame.
    Frames are of shape `(1,)` and uint8 unless a codec is given; an action is ten times the
    frame's first value, a lone stream or sequence number is that of the first record.
    """
    words = flags.split()
    values = [sum(LETTERS[letter] for letter in word) for word in words]
    codec = codec or FrameCodec((1,), np.uint8)
    stack = np.asarray(frames, dtype=codec.dtype).reshape(len(words), *codec.shape)
    encoded, sizes = codec.encode_many(stack)
    final = np.array(["E" in word for word in words], dtype=bool)
    firsts = stack.reshape(len(words), math.prod(codec.shape))[:, 0]
    if isinstance(sequence, int):
        sequence = range(sequence, sequence + len(words))
    return Fragment(
        stream=np.full(len(words), stream, dtype=np.int64),
        sequence=np.array(sequence, dtype=np.int64),
        frames=encoded,
        sizes=sizes,
        action=np.where(final, 0, 10 * firsts.astype(np.int32)).astype(np.int32),
        reward=np.array(rewards if rewards is not None else [0.0] * len(words), np.float32),
        flags=np.array(values, dtype=np.uint8),
        goal=np.array(goals if goals is not None else [0] * len(words), np.uint8),
        duration=np.array(durations if durations is not None else [1] * len(words), np.int32),
    )


def make(**options: Any) -> FrameReplay:
    """Makes a small replay of frames that are single numbers."""
    defaults: dict[str, Any] = {
        "capacity": 16,
        "frame_shape": (1,),
        "stack": 2,
        "gamma": 0.5,
        "rng": np.random.default_rng(0),
    }
    return FrameReplay(**{**defaults, **options})


def rows(replay: FrameReplay) -> dict[int, tuple[Any, ...]]:
    """All valid transitions: id -> (s_tm1, a_tm1, r_t, discount_t, s_t)."""
    batch = replay.gather(replay.valid_ids())
    columns = (batch.id, batch.s_tm1[..., 0], batch.a_tm1, batch.r_t, batch.discount_t)
    return {
        id_: (s_tm1, a_tm1, r_t, discount_t, s_t)
        for id_, s_tm1, a_tm1, r_t, discount_t, s_t in zip(
            *(column.tolist() for column in (*columns, batch.s_t[..., 0])), strict=True
        )
    }
