"""Encoded frames in a few large chunks of memory, first in, first out."""

from typing import Any

import numpy as np

CHUNK_OVERHEAD_BYTES = 512
"""What the objects around a chunk take (array, memoryview, two dict entries), rounded up."""


class FrameArena:
    """A queue of byte strings that makes no Python object per string.

    Frames are numbered 0, 1, 2, ... in the order of arrival; `[tail, head)` are held. They lie
    back to back in chunks of equal size, and none straddles two. A chunk whose frames have all
    been evicted is kept as the one spare or freed, so eviction never moves or copies anything
    and the garbage collector has nothing to walk.

    A frame's position is its offset in the endless concatenation of all chunks ever opened:
    chunk `position // chunk_bytes`, byte `position % chunk_bytes`.

    Args:
        capacity: Most frames held at a time.
        chunk_bytes: Bytes of a chunk, at least those of the longest frame.
    """

    def __init__(self, *, capacity: int, chunk_bytes: int) -> None:
        self.capacity = capacity
        self.chunk_bytes = chunk_bytes
        self._position = np.zeros(capacity, dtype=np.int64)
        self._size = np.zeros(capacity, dtype=np.int32)
        self._clear()

    def _clear(self) -> None:
        self.tail = 0
        self.head = 0
        self._chunks: dict[int, memoryview] = {}  # oldest first
        self._num_frames: dict[int, int] = {}  # per chunk, those not evicted
        self._spare: memoryview | None = None
        self._write_chunk = -1
        self._write_offset = self.chunk_bytes  # no room: the first frame opens a chunk

    @staticmethod
    def metadata_nbytes(capacity: int) -> int:
        """Bytes of the arrays of an arena, before any frame."""
        return capacity * (8 + 4)

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks, the spare one and the unused parts included, and all arrays."""
        num_chunks = len(self._chunks) + (self._spare is not None)
        return self._position.nbytes + self._size.nbytes + num_chunks * self.bytes_per_chunk

    @property
    def bytes_per_chunk(self) -> int:
        """Bytes that one chunk adds to `nbytes`."""
        return self.chunk_bytes + CHUNK_OVERHEAD_BYTES

    @property
    def bytes_to_open(self) -> int:
        """Bytes that `open_chunk` would add to `nbytes`."""
        return 0 if self._spare is not None else self.bytes_per_chunk

    @property
    def room_bytes(self) -> int:
        """Bytes left in the chunk that is being written."""
        return self.chunk_bytes - self._write_offset

    @property
    def num_frames_in_oldest_chunk(self) -> int:
        """Frames to evict until the oldest chunk is empty."""
        return next(iter(self._num_frames.values()))

    def open_chunk(self) -> None:
        """Leaves the rest of the written chunk unused and goes on in a new one."""
        closed = self._write_chunk
        self._write_chunk += 1
        self._write_offset = 0
        if self._num_frames.get(closed) == 0:
            self._recycle(closed)
        self._chunks[self._write_chunk] = self._spare or self._new_chunk()
        self._spare = None
        self._num_frames[self._write_chunk] = 0

    def append(self, frames: np.ndarray, sizes: np.ndarray) -> None:
        """Appends frames to the chunk that is being written.

        Args:
            frames: `(sum(sizes),)` uint8 and contiguous, at most `room_bytes`.
            sizes: `(K,)` int32, bytes of each frame, K at most `capacity - (head - tail)`.
        """
        start, num_frames = self._write_offset, len(sizes)
        ends = np.cumsum(sizes, dtype=np.int64)
        self._chunks[self._write_chunk][start : start + len(frames)] = frames.data
        slots = np.arange(self.head, self.head + num_frames) % self.capacity
        self._position[slots] = self._write_chunk * self.chunk_bytes + start + ends - sizes
        self._size[slots] = sizes
        self._num_frames[self._write_chunk] += num_frames
        self._write_offset += len(frames)
        self.head += num_frames

    def evict(self, count: int) -> None:
        """Forgets the oldest `count` frames, at most `head - tail`."""
        self.tail += count
        while count:
            oldest, num_frames = next(iter(self._num_frames.items()))
            taken = min(count, num_frames)
            self._num_frames[oldest] -= taken
            count -= taken
            if taken == num_frames and oldest != self._write_chunk:
                self._recycle(oldest)

    def _recycle(self, number: int) -> None:
        del self._num_frames[number]
        self._spare = self._chunks.pop(number)

    def read(self, numbers: np.ndarray) -> list[memoryview]:
        """Views of the bytes of frames, valid until the next eviction.

        Args:
            numbers: `(U,)` int64 in `[tail, head)`.

        Returns:
            U views of uint8.
        """
        slots = numbers % self.capacity
        chunk, offset = np.divmod(self._position[slots], self.chunk_bytes)
        stop = offset + self._size[slots]
        chunks = self._chunks
        return [
            chunks[number][first:last]
            for number, first, last in zip(
                chunk.tolist(), offset.tolist(), stop.tolist(), strict=True
            )
        ]

    def _spans(self) -> list[tuple[int, int, int]]:
        """Chunk, first byte and length of the live bytes of each chunk, oldest first."""
        spans, number = [], self.tail
        for chunk, num_frames in self._num_frames.items():
            slots = np.arange(number, number + num_frames) % self.capacity
            if num_frames:
                offset = int(self._position[slots[0]]) % self.chunk_bytes
                spans.append((chunk, offset, int(self._size[slots].sum(dtype=np.int64))))
            number += num_frames
        return spans

    def get_state(self, *, copy: bool = True) -> dict[str, Any]:
        """Positions of the frames and their bytes by chunk, as arrays, lists of arrays and ints.

        Args:
            copy: Whether to copy the bytes; else they are views, valid until the next `append` or
                `evict`.
        """
        slots = np.arange(self.tail, self.head) % self.capacity
        frames = [
            np.frombuffer(self._chunks[chunk], np.uint8, length, offset)
            for chunk, offset, length in self._spans()
        ]
        return {
            "tail": self.tail,
            "has_spare": int(self._spare is not None),
            "write_chunk": self._write_chunk,
            "write_offset": self._write_offset,
            "position": self._position[slots],
            "size": self._size[slots],
            "frames": [span.copy() for span in frames] if copy else frames,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts every frame back to its old position, so that later evictions are the same.

        Args:
            state: What `get_state` of an arena of the same capacity and chunk size returned.
        """
        self._clear()
        self.tail = int(state["tail"])
        self.head = self.tail + len(state["size"])
        slots = np.arange(self.tail, self.head) % self.capacity
        self._position[slots] = state["position"]
        self._size[slots] = state["size"]
        self._write_chunk = int(state["write_chunk"])
        self._write_offset = int(state["write_offset"])
        if state["has_spare"]:
            self._spare = self._new_chunk()
        numbers, counts = np.unique(state["position"] // self.chunk_bytes, return_counts=True)
        self._num_frames = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        if self._write_chunk >= 0:
            self._num_frames.setdefault(self._write_chunk, 0)
        self._chunks = {number: self._new_chunk() for number in self._num_frames}
        for (chunk, offset, length), frames in zip(self._spans(), state["frames"], strict=True):
            self._chunks[chunk][offset : offset + length] = frames.data

    def _new_chunk(self) -> memoryview:
        return np.empty(self.chunk_bytes, dtype=np.uint8).data
