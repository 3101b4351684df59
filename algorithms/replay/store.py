"""Records and their frames together, under a ceiling of records and one of bytes."""

from typing import Any

import numpy as np

from algorithms.replay.arena import CHUNK_OVERHEAD_BYTES, FrameArena
from algorithms.replay.codec import FrameCodec
from algorithms.replay.fragment import Fragment
from algorithms.replay.records import STREAM_OVERHEAD_BYTES, RecordRing

CHUNK_BYTES = 4 << 20
"""Bytes of a chunk of frames in a large store."""
_LEAST_NUM_CHUNKS = 32


class FrameStore:
    """The last records of many streams with their encoded frames.

    Args:
        capacity: Most records held.
        codec: Encodes the frames of the fragments that are added.
        max_bytes: Ceiling on `nbytes`, or none.
        least_num_records: How many records must fit under `max_bytes`.
        extra_nbytes: Bytes that the owner holds besides, which count in `nbytes`.

    Raises:
        ValueError: If `capacity` is out of range or `max_bytes` holds too little.
    """

    def __init__(
        self,
        *,
        capacity: int,
        codec: FrameCodec,
        max_bytes: int | None,
        least_num_records: int,
        extra_nbytes: int = 0,
    ) -> None:
        if not 1 <= capacity < 1 << 32:
            raise ValueError(f"capacity {capacity}: must be in [1, 2**32)")
        self.capacity = capacity
        self.codec = codec
        self.max_bytes = max_bytes
        self._extra_nbytes = extra_nbytes
        longest = codec.max_encoded_nbytes
        chunk_bytes = min(CHUNK_BYTES, capacity // _LEAST_NUM_CHUNKS * longest)
        if max_bytes is not None:
            metadata = RecordRing.metadata_nbytes(capacity) + FrameArena.metadata_nbytes(capacity)
            metadata += extra_nbytes
            least = metadata + STREAM_OVERHEAD_BYTES
            least += least_num_records * (longest + CHUNK_OVERHEAD_BYTES)
            if max_bytes < least:
                raise ValueError(
                    f"max_bytes {max_bytes}: {capacity} slots and the frames of one transition "
                    f"take {least}; raise max_bytes or lower capacity"
                )
            chunk_bytes = min(chunk_bytes, (max_bytes - metadata) // _LEAST_NUM_CHUNKS)
        if codec.compression == "none":
            chunk_bytes -= chunk_bytes % longest  # frames of one size then leave no rest
        self.records = RecordRing(capacity)
        self._arena = FrameArena(capacity=capacity, chunk_bytes=max(chunk_bytes, longest))

    @property
    def nbytes(self) -> int:
        """Bytes held: chunks of frames, used or not, arrays for all slots, and tables.

        Arrays count in full, though the system gives their pages only as slots are filled.
        """
        return self.records.nbytes + self._arena.nbytes + self._extra_nbytes

    def add(self, fragment: Fragment) -> None:
        """Appends records, evicting the oldest ones.

        Args:
            fragment: K records whose frames were encoded by a codec like `self.codec`.

        Raises:
            ValueError: If the frames are not of this shape, dtype and compression (sizes are
                all checked, and the first frame is decoded); nothing is added then.
        """
        self._check_frames(fragment)
        ends = np.cumsum(fragment.sizes, dtype=np.int64)
        start, start_byte = 0, 0
        while start < len(fragment):
            stop_byte = start_byte + self._arena.room_bytes
            stop = int(np.searchsorted(ends, stop_byte, side="right"))
            stop = min(stop, start + self.capacity)
            if stop == start:
                self._open_chunk()
                continue
            stop_byte = int(ends[stop - 1])
            self._evict(max(0, len(self.records) + stop - start - self.capacity))
            self._arena.append(fragment.frames[start_byte:stop_byte], fragment.sizes[start:stop])
            self.records.append(
                stream=fragment.stream[start:stop],
                sequence=fragment.sequence[start:stop],
                action=fragment.action[start:stop],
                reward=fragment.reward[start:stop],
                flags=fragment.flags[start:stop],
                goal=fragment.goal[start:stop],
                duration=fragment.duration[start:stop],
            )
            self._hold_ceiling(opening=False)  # the table of streams may have grown
            start, start_byte = stop, stop_byte

    def _check_frames(self, fragment: Fragment) -> None:
        if not len(fragment):
            return
        longest = self.codec.max_encoded_nbytes
        shortest = longest if self.codec.compression == "none" else 1
        if fragment.sizes.min() < shortest or fragment.sizes.max() > longest:
            raise ValueError(
                f"the fragment's frames take {fragment.sizes.min()} to {fragment.sizes.max()} "
                f"bytes, but {self.codec.dtype} {self.codec.shape} with compression "
                f'"{self.codec.compression}" takes {shortest} to {longest}'
            )
        first = np.empty(self.codec.shape, dtype=self.codec.dtype)
        self.codec.decode_into(fragment.frames[: fragment.sizes[0]], first)

    def _open_chunk(self) -> None:
        self._hold_ceiling(opening=True)
        self._arena.open_chunk()

    def _hold_ceiling(self, *, opening: bool) -> None:
        """Evicts by chunks of frames until `nbytes`, with a chunk to be opened, is in bounds."""
        if self.max_bytes is None:
            return
        while len(self.records):
            extra_bytes = self._arena.bytes_to_open if opening else 0
            if self.nbytes + extra_bytes <= self.max_bytes:
                return
            self._evict(self._arena.num_frames_in_oldest_chunk)

    def _evict(self, count: int) -> None:
        if count:
            self.records.evict(count)
            self._arena.evict(count)

    def decode(self, ids: np.ndarray, out: np.ndarray) -> None:
        """Decodes frames of live records.

        Args:
            ids: `(U,)` int64 in `[tail, head)`.
            out: `(U, *frame_shape)` of the frames' dtype, C-contiguous; overwritten.
        """
        self.codec.decode_many(self._arena.read(ids), out)

    def records_at(self, ids: np.ndarray, *, stream: np.ndarray, sequence: np.ndarray) -> Fragment:
        """Live records as a fragment; see `FrameReplay.records_at`."""
        frames = self._arena.read(ids)
        return Fragment(
            stream=stream,
            sequence=sequence,
            frames=np.frombuffer(b"".join(frames), dtype=np.uint8),
            sizes=np.fromiter(map(len, frames), dtype=np.int32, count=len(frames)),
            **self.records.columns(ids),
        )

    def get_state(self, *, copy: bool = True) -> dict[str, Any]:
        """Everything held, as nested dicts and lists of arrays, ints and strings.

        Args:
            copy: Whether to copy the frames; else they are views, valid until the next `add`.
        """
        return {
            "layout": self._layout(),
            "records": self.records.get_state(),
            "arena": self._arena.get_state(copy=copy),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up a state, so that later evictions are the same.

        Raises:
            ValueError: If the state is of a store with another layout of frames or memory.
        """
        for name, mine in self._layout().items():
            if state["layout"][name] != mine:
                raise ValueError(
                    f"{name} of the saved replay is {state['layout'][name]}, this one's {mine}"
                )
        self.records.set_state(state["records"])
        self._arena.set_state(state["arena"])
        self._hold_ceiling(opening=False)  # its owner may have held fewer bytes besides

    def _layout(self) -> dict[str, Any]:
        """What a state must have in common with the store that takes it up."""
        return {
            "capacity": self.capacity,
            "frame_shape": list(self.codec.shape),
            "frame_dtype": self.codec.dtype.str,
            "compression": self.codec.compression,
            "max_bytes": -1 if self.max_bytes is None else self.max_bytes,
            "chunk_bytes": self._arena.chunk_bytes,
        }
