"""The queue of bytes: what goes in comes out, and chunks go back when they are empty."""

from collections import deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.replay.arena import FrameArena


def put(arena: FrameArena, *frames: bytes) -> None:
    for frame in frames:
        if arena.room_bytes < len(frame):
            arena.open_chunk()
        arena.append(np.frombuffer(frame, np.uint8), np.array([len(frame)], np.int32))


def held(arena: FrameArena) -> list[bytes]:
    return [bytes(view) for view in arena.read(np.arange(arena.tail, arena.head))]


def test_frame_never_straddles_chunks():
    arena = FrameArena(capacity=8, chunk_bytes=5)
    put(arena, b"abc", b"def", b"g")
    assert held(arena) == [b"abc", b"def", b"g"]
    assert arena.room_bytes == 1
    assert arena.nbytes - FrameArena.metadata_nbytes(8) == 2 * arena.bytes_per_chunk


def test_empty_chunk_is_used_again():
    arena = FrameArena(capacity=8, chunk_bytes=2)
    put(arena, b"ab", b"cd", b"ef")
    before = arena.nbytes
    arena.evict(1)
    assert arena.nbytes == before and arena.bytes_to_open == 0  # the spare
    arena.evict(1)
    assert arena.nbytes == before - arena.bytes_per_chunk  # only one spare is kept
    put(arena, b"gh")
    assert held(arena) == [b"ef", b"gh"]
    assert arena.bytes_to_open == arena.bytes_per_chunk


def test_chunk_that_is_being_written_survives_its_frames():
    arena = FrameArena(capacity=8, chunk_bytes=4)
    put(arena, b"ab")
    arena.evict(1)
    put(arena, b"cd")
    assert held(arena) == [b"cd"]
    arena.evict(1)
    put(arena, b"efg")
    assert held(arena) == [b"efg"]
    assert arena.nbytes - FrameArena.metadata_nbytes(8) == arena.bytes_per_chunk


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    capacity=st.integers(1, 12),
    chunk_bytes=st.integers(4, 20),
    steps=st.lists(st.tuples(st.binary(min_size=1, max_size=4), st.integers(0, 3)), max_size=60),
    saved_after=st.integers(0, 60),
)
def test_arena_is_a_queue(capacity, chunk_bytes, steps, saved_after):
    arena = FrameArena(capacity=capacity, chunk_bytes=chunk_bytes)
    queue: deque[bytes] = deque()
    for index, (frame, num_evicted) in enumerate(steps):
        num_evicted = min(num_evicted, len(queue))
        num_evicted = max(num_evicted, len(queue) + 1 - capacity)
        arena.evict(num_evicted)
        for _ in range(num_evicted):
            queue.popleft()
        put(arena, frame)
        queue.append(frame)
        if index == saved_after:
            state, nbytes = arena.get_state(), arena.nbytes
            arena = FrameArena(capacity=capacity, chunk_bytes=chunk_bytes)
            arena.set_state(state)
            assert arena.nbytes == nbytes
        assert held(arena) == list(queue)
