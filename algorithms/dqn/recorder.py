"""What leaves a runner: numbered records of single frames, each encoded once."""

from __future__ import annotations

import numpy as np

from algorithms.replay import Fragment, FrameCodec, RecordFlag
from algorithms.replay.codec import Compression


class Recorder:
    """Numbers and collects the records of N streams, one a sub-environment.

    Args:
        frame_shape: Of one frame.
        frame_dtype: Its dtype.
        compression: How frames are encoded.
        first_stream: Number of the first of the streams.
        num_streams: N.

    Attributes:
        codec: Encodes the frames.
        sequence: (N,) int64, the numbers of the next records.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        frame_dtype: np.dtype,
        compression: Compression,
        *,
        first_stream: int,
        num_streams: int,
    ) -> None:
        self.codec = FrameCodec(frame_shape, frame_dtype, compression)
        self.sequence = np.zeros(num_streams, np.int64)
        self._streams = first_stream + np.arange(num_streams)
        self._everyone = np.arange(num_streams)
        self._no_goal = np.zeros(num_streams, np.uint8)
        self._one_step = np.ones(num_streams, np.int32)
        self._buffer: list[tuple[np.ndarray, ...]] = []

    def add(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        flags: np.ndarray,
        *,
        goals: np.ndarray | None = None,
        durations: np.ndarray | None = None,
        index: np.ndarray | None = None,
    ) -> None:
        """A record of each of K streams: (K, *frame_shape) frames acted on, (K,) what followed.

        Args:
            frames: What was seen.
            actions: What was done.
            rewards: What it brought.
            flags: `RecordFlag`s.
            goals: The goals pursued; None: there are none.
            durations: Steps of the environment that the actions took; None: one each.
            index: (K,), which streams; None: all.
        """
        if index is None:
            index = self._everyone
        goals = self._no_goal[index] if goals is None else goals
        durations = self._one_step[index] if durations is None else durations
        self._append(index, frames, actions, rewards, flags, goals, durations)

    def add_final(self, index: np.ndarray, frames: np.ndarray) -> None:
        """The last frames, (K, *frame_shape), of the episodes of K streams."""
        if len(index):
            nothing, one = self._no_goal[index], self._one_step[index]
            final = np.full(len(index), RecordFlag.FINAL, np.uint8)
            self._append(index, frames, nothing, nothing, final, nothing, one)

    @property
    def has_records(self) -> bool:
        """Whether there are any since the last `take`."""
        return bool(self._buffer)

    def take(self) -> Fragment:
        """The records since the last call, of which there must be some."""
        columns = [np.concatenate(c) for c in zip(*self._buffer, strict=True)]
        self._buffer = []
        frame, stream, sequence, action, reward, flags, goal, duration = columns
        encoded, sizes = self.codec.encode_many(frame)
        return Fragment(
            stream=stream,
            sequence=sequence,
            frames=encoded,
            sizes=sizes,
            action=action.astype(np.int32),
            reward=reward.astype(np.float32),
            flags=flags.astype(np.uint8),
            goal=goal.astype(np.uint8),
            duration=duration.astype(np.int32),
        )

    def forget(self) -> None:
        """Drops the records since the last `take`; their numbers are missing for good."""
        self._buffer = []

    def _append(self, index: np.ndarray, frames: np.ndarray, *columns: np.ndarray) -> None:
        self._buffer.append((frames.copy(), self._streams[index], self.sequence[index], *columns))
        self.sequence[index] += 1
