"""The replay against a plain list of records that follows the rules one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.replay import Fragment, FrameCodec, FrameReplay, RecordFlag

GAMMA = 0.5  # powers of two make every sum exact, in whatever order
FIRST, TERMINATED, TRUNCATED, FINAL = RecordFlag


@dataclass(frozen=True)
class Record:
    stream: int
    sequence: int
    frame: np.ndarray
    action: int
    reward: float
    flags: int
    goal: int
    duration: int


class ListReplay:
    """Keeps everything; says what a replay that holds `[tail, head)` must give."""

    def __init__(
        self, stack: int, n_step: int, clip_rewards: bool, discount_durations: bool
    ) -> None:
        self.records: list[Record] = []
        self.stack, self.n_step, self.clip_rewards = stack, n_step, clip_rewards
        self.discount_durations = discount_durations

    def previous(self, index: int) -> int | None:
        record = self.records[index]
        if record.flags & FIRST:
            return None
        for before in range(index - 1, -1, -1):
            candidate = self.records[before]
            if candidate.stream == record.stream:
                follows = candidate.sequence + 1 == record.sequence
                return before if follows and not candidate.flags & FINAL else None
        return None

    def next(self, index: int) -> int | None:
        for after in range(index + 1, len(self.records)):
            if self.records[after].stream == self.records[index].stream:
                return after if self.previous(after) == index else None
        return None

    def state(self, index: int, tail: int) -> np.ndarray | None:
        planes = [self.records[index].frame]
        here: int | None = index
        while len(planes) < self.stack:
            if here is None or self.records[here].flags & FIRST:
                here = None
                planes.append(np.zeros_like(planes[0]))
                continue
            here = self.previous(here)
            if here is None or here < tail:
                return None
            planes.append(self.records[here].frame)
        return np.stack(planes[::-1])

    def transition(self, index: int, tail: int) -> tuple[Any, ...] | None:
        """`(s_tm1, a_tm1, r_t, discount_t, goal, duration, s_t)`, or nothing where it is not
        valid."""
        record = self.records[index]
        s_tm1 = self.state(index, tail)
        if index < tail or record.flags & FINAL or s_tm1 is None:
            return None
        total, discount, duration, here = 0.0, 1.0, 0, index
        for _ in range(self.n_step):
            record = self.records[here]
            reward = float(np.sign(record.reward)) if self.clip_rewards else record.reward
            total += discount * reward
            discount *= GAMMA**record.duration if self.discount_durations else GAMMA
            duration += record.duration
            after = self.next(here)
            if after is None:
                return None
            here = after
            if record.flags & TERMINATED:
                discount = 0.0
            ended = record.flags & (TERMINATED | TRUNCATED) or self.records[here].flags & FINAL
            if ended:
                break
        s_t = self.state(here, tail)
        assert s_t is not None
        first = self.records[index]
        return s_tm1, first.action, total, discount, first.goal, duration, s_t


EVENTS = ["step"] * 12 + [
    "lost life",
    "termination",
    "truncation",
    "both",
    "lost record",
    "restart",
    "repeat",
    "reset",
    "odd",
]


@st.composite
def histories(draw: st.DrawFn, shape: tuple[int, ...], dtype: type) -> list[Record]:
    """Interleaved streams of episodes to which everything happens that may happen."""
    length = draw(st.integers(1, 80))  # drawn first: lists alone come out short
    event = st.tuples(st.integers(0, 2), st.sampled_from(EVENTS))
    events = draw(st.lists(event, min_size=length, max_size=length))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    sequence, open_episode, closing = [0] * 3, [False] * 3, [False] * 3
    records = []
    for stream, event in events:
        flags = 0 if open_episode[stream] else FIRST
        open_episode[stream] = True
        if event == "restart":
            sequence[stream], flags, closing[stream] = 0, FIRST, False
        if event == "reset":
            flags, closing[stream] = FIRST, False
        if closing[stream]:
            flags, closing[stream], open_episode[stream] = FINAL, False, False
        elif event in ("lost life", "both"):
            flags |= TERMINATED
        elif event == "odd":
            flags = int(rng.choice([0, FIRST, FINAL, FIRST | FINAL, FIRST | TRUNCATED]))
        if event in ("termination", "truncation", "both") and not flags & FINAL:
            flags |= {"termination": TERMINATED, "truncation": TRUNCATED}.get(event, TRUNCATED)
            closing[stream] = True
        if event == "repeat":
            sequence[stream] = max(0, sequence[stream] - int(rng.integers(1, 3)))
        if event != "lost record":
            frame = (rng.random(shape) * 255).astype(dtype)
            reward = float(rng.choice([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]))
            action = 0 if flags & FINAL else int(rng.integers(0, 18))
            goal, duration = int(rng.integers(0, 256)), int(rng.integers(1, 4))
            own = (frame, action, reward, int(flags), goal, duration)
            records.append(Record(stream, sequence[stream], *own))
        sequence[stream] += 1
    return records


def fragment(records: list[Record], codec: FrameCodec) -> Fragment:
    frames = np.stack([record.frame for record in records])
    encoded, sizes = codec.encode_many(frames)

    def column(name: str, dtype: type) -> np.ndarray:
        return np.array([getattr(record, name) for record in records], dtype=dtype)

    return Fragment(
        stream=column("stream", np.int64),
        sequence=column("sequence", np.int64),
        frames=encoded,
        sizes=sizes,
        action=column("action", np.int32),
        reward=column("reward", np.float32),
        flags=column("flags", np.uint8),
        goal=column("goal", np.uint8),
        duration=column("duration", np.int32),
    )


def check(replay: FrameReplay, model: ListReplay) -> None:
    tail, head = replay.tail, len(model.records)
    assert replay.head == head
    assert len(replay) == sum(not record.flags & FINAL for record in model.records[tail:])
    expected = {index: model.transition(index, tail) for index in range(tail, head)}
    expected = {index: row for index, row in expected.items() if row is not None}
    assert replay.valid_ids().tolist() == list(expected)
    everywhere = np.arange(-2, head + 3)
    np.testing.assert_array_equal(everywhere[replay.is_valid(everywhere)], list(expected))
    batch = replay.gather(replay.valid_ids())
    columns = (batch.a_tm1, batch.r_t, batch.discount_t, batch.goal, batch.duration)
    for index, s_tm1, s_t, *values in zip(batch.id, batch.s_tm1, batch.s_t, *columns, strict=True):
        row = expected[int(index)]
        np.testing.assert_array_equal(s_tm1, row[0])
        assert tuple(values) == row[1:6]
        np.testing.assert_array_equal(s_t, row[6])
    if expected:
        assert set(replay.sample_ids(16).tolist()) <= set(expected)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(data=st.data())
def test_replay_agrees_with_a_list_of_records(data):
    compare(data)


@pytest.mark.slow
@settings(deadline=None, max_examples=1_000)
@given(data=st.data())
def test_replay_agrees_with_a_list_of_many_more_records(data):
    compare(data)


def compare(data: st.DataObject) -> None:
    """Plays a drawn history into a replay and a plain list, and compares them after each part."""
    shape, dtype = data.draw(st.sampled_from([((5, 6), np.uint8), ((3,), np.float32)]))
    records = data.draw(histories(shape, dtype))
    stack, n_step = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    clip_rewards, discount_durations = data.draw(st.booleans()), data.draw(st.booleans())
    capacity = data.draw(st.one_of(st.integers(1, 40), st.just(70)))
    max_bytes = data.draw(st.one_of(st.none(), st.integers(9_000, 14_000)))
    options: dict[str, Any] = {
        "capacity": capacity,
        "frame_shape": shape,
        "frame_dtype": dtype,
        "stack": stack,
        "n_step": n_step,
        "gamma": GAMMA,
        "clip_rewards": clip_rewards,
        "discount_durations": discount_durations,
        "compression": data.draw(st.sampled_from(["lz4", "none"])),
        "max_bytes": max_bytes,
    }
    replay = FrameReplay(**options, rng=np.random.default_rng(0))
    model = ListReplay(stack, n_step, clip_rewards, discount_durations)
    while len(model.records) < len(records):
        start = len(model.records)
        part = records[start : start + data.draw(st.integers(1, 20))]
        model.records.extend(part)
        replay.add(fragment(part, replay.codec))
        if max_bytes is None:
            assert replay.tail == max(0, replay.head - capacity)
        else:
            assert replay.nbytes <= max_bytes
            assert replay.head - replay.tail <= capacity
        if data.draw(st.booleans()):
            state = replay.get_state()
            replay = FrameReplay(**options, rng=np.random.default_rng(1))
            replay.set_state(state)
        check(replay, model)
