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
        self._buffer: list[tuple[np.ndarray, ...]] = []

    def add(
        self, frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray, flags: np.ndarray
    ) -> None:
        """A record of each stream: (N, *frame_shape) frames acted on, and (N,) what followed."""
        self._append(np.arange(len(self._streams)), frames, actions, rewards, flags)

    def add_final(self, index: np.ndarray, frames: np.ndarray) -> None:
        """The last frames, (K, *frame_shape), of the episodes of K streams."""
        if len(index):
            nothing = np.zeros(len(index), np.int64)
            self._append(index, frames, nothing, nothing, nothing + RecordFlag.FINAL)

    def take(self) -> Fragment:
        """The records since the last call, of which there must be some."""
        columns = [np.concatenate(c) for c in zip(*self._buffer, strict=True)]
        self._buffer = []
        frame, stream, sequence, action, reward, flags = columns
        encoded, sizes = self.codec.encode_many(frame)
        return Fragment(
            stream=stream,
            sequence=sequence,
            frames=encoded,
            sizes=sizes,
            action=action.astype(np.int32),
            reward=reward.astype(np.float32),
            flags=flags.astype(np.uint8),
        )

    def forget(self) -> None:
        """Drops the records since the last `take`; their numbers are missing for good."""
        self._buffer = []

    def _append(self, index: np.ndarray, frames: np.ndarray, *columns: np.ndarray) -> None:
        self._buffer.append((frames.copy(), self._streams[index], self.sequence[index], *columns))
        self.sequence[index] += 1
