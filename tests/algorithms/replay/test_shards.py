"""The protocol between runners, shards and learners, clause by clause."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.replay import Batch, FrameCodec, PrioritizedReplay
from algorithms.replay.reshard import reshard
from algorithms.replay.shard import ReplayShard, make_replay, shard_of, split_by_shard
from tests.algorithms.replay.tables import rows, table

ARGUMENTS = {
    "capacity": 64,
    "frame_shape": (1,),
    "stack": 2,
    "n_step": 1,
    "gamma": 0.5,
    "priority_exponent": None,
}
PRIORITIZED = ARGUMENTS | {"priority_exponent": 1.0}


def shard(**options: object) -> ReplayShard:
    return ReplayShard(ARGUMENTS | options, seed=0)


def episode(length: int, start: int = 0, **options: object):
    """An episode of `length` steps whose frames count from `start`."""
    flags = " ".join(["F", *["."] * (length - 2), "T", "E"])
    return table(flags, frames=range(start, start + length + 1), **options)


@given(st.integers(1, 64), st.integers(1, 9))
def test_a_stream_always_goes_to_the_same_shard_and_every_shard_gets_its_share(streams, shards):
    numbers = np.arange(streams)
    where = shard_of(numbers, streams, shards)
    np.testing.assert_array_equal(where, shard_of(numbers + 3 * streams, streams, shards))
    counts = np.bincount(where, minlength=shards)
    assert len(counts) == shards
    assert counts.max() - counts.min() <= 1
    assert (np.diff(where) >= 0).all()  # neighbours together, so that a runner sends to few


def test_a_fragment_is_split_by_shard_in_the_order_of_its_records():
    whole = table(
        "F F . . F .",
        frames=[1, 2, 3, 4, 5, 6],
        stream=[0, 3, 0, 3, 1, 0],
        sequence=[7, 9, 8, 10, 2, 9],
    )
    (first, low), (second, high) = split_by_shard(whole, 4, 2)
    assert (first, second) == (0, 1)
    assert low.stream.tolist() == [0, 0, 1, 0]
    assert low.sequence.tolist() == [7, 8, 2, 9]
    assert high.stream.tolist() == [3, 3]
    codec = FrameCodec((1,), np.uint8)
    decoded, start = [], 0
    for size in low.sizes.tolist():
        frame = np.empty(1, np.uint8)
        codec.decode_into(low.frames[start : start + size], frame)
        decoded.append(int(frame[0]))
        start += size
    assert decoded == [1, 3, 5, 6]
    ((only, same),) = split_by_shard(whole, 4, 1)
    assert only == 0
    assert same is whole


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_lost_fragment_closes_stack_and_window(n_step: int):
    one = shard(n_step=n_step)
    one.add(table("F . . .", frames=[0, 1, 2, 3]))
    one.add(table(". . . . . .", frames=[6, 7, 8, 9, 10, 11], sequence=6))  # 4 and 5 are lost
    there = rows(one.replay)
    steps = [(row[0], row[4]) for row in there.values()]
    expected = {
        1: [([0, 0], [0, 1]), ([0, 1], [1, 2]), ([1, 2], [2, 3])]
        + [([f - 1, f], [f, f + 1]) for f in (7, 8, 9, 10)],
        3: [([0, 0], [2, 3]), ([6, 7], [9, 10]), ([7, 8], [10, 11])],
    }[n_step]
    assert steps == expected


def test_a_runner_that_began_anew_is_not_joined_to_its_past():
    one = shard()
    one.add(table("F . .", frames=[0, 1, 2]))
    one.add(table("F . .", frames=[10, 11, 12]))  # the same stream, numbered from 0 again
    steps = [(row[0], row[4]) for row in rows(one.replay).values()]
    assert steps == [
        ([0, 0], [0, 1]),
        ([0, 1], [1, 2]),
        ([0, 10], [10, 11]),
        ([10, 11], [11, 12]),
    ]


def test_late_priorities_never_hit_overwritten_slots_nor_a_shard_that_started_again():
    one = ReplayShard(PRIORITIZED | {"capacity": 8}, seed=0)
    one.add(episode(4))
    batch, status = one.sample(2)
    assert (batch.origin == status.origin).all()
    one.add(episode(7, start=20, sequence=5))  # goes round: the slots of the ids now hold others
    assert isinstance(one.replay, PrioritizedReplay)
    before = one.replay.get_state()["priorities"]["tree"]["leaves"]
    late = one.update_priorities(status.origin, batch.id, np.full(2, 50.0))
    np.testing.assert_array_equal(one.replay.get_state()["priorities"]["tree"]["leaves"], before)
    assert late.priority_max == 1

    again = ReplayShard(PRIORITIZED | {"capacity": 8}, seed=0)
    again.add(episode(4))
    assert again.status().origin != status.origin
    # The ids are the same as before, and none of its business.
    unmoved = again.update_priorities(status.origin, batch.id, np.full(2, 50.0))
    assert unmoved.mass == again.status().mass == 4
    moved = again.update_priorities(unmoved.origin, np.array([0]), np.array([50.0]))
    assert moved.mass == pytest.approx(53, rel=1e-5)


def test_nothing_is_drawn_of_a_shard_before_a_transition_is_whole():
    one = shard(n_step=3)
    assert one.status().mass == 0
    assert one.add(table("F . .", frames=[0, 1, 2])).mass == 0
    assert one.add(table(". .", frames=[3, 4], sequence=3)).mass == 5


def test_shards_draw_as_one_replay_of_all_records_would():
    """By how often each transition is drawn, and with the weights that the whole would give."""
    whole = make_replay(**PRIORITIZED, rng=np.random.default_rng(0))
    shards = [ReplayShard(PRIORITIZED, seed=i) for i in range(2)]
    episodes = [episode(4), episode(9, start=30, stream=1)]
    for one, own in zip(shards, episodes, strict=True):
        whole.add(own)
        one.add(own)
    errors = [np.linspace(0.1, 0.4, 4), np.linspace(0.5, 3, 9)]
    for one, own in zip(shards, errors, strict=True):
        one.update_priorities(one.status().origin, np.arange(len(own)), own)
    assert isinstance(whole, PrioritizedReplay)
    whole.update_priorities(whole.valid_ids(), np.concatenate(errors))
    whole.importance_exponent = 0.5
    batch = whole.gather(whole.valid_ids())
    expected = dict(zip(batch.s_t[:, -1, 0].tolist(), batch.weight.tolist(), strict=True))

    statuses = [one.status() for one in shards]
    mass = np.array([status.mass for status in statuses])
    assert mass.sum() == pytest.approx(whole.priority_total)
    counts: dict[int, int] = {}
    draws = 60_000
    rng = np.random.default_rng(1)
    for one, share in zip(shards, rng.multinomial(draws, mass / mass.sum()), strict=True):
        drawn, _ = one.sample(
            int(share),
            importance_exponent=0.5,
            priority_min=min(status.priority_min for status in statuses),
        )
        for frame, weight in zip(drawn.s_t[:, -1, 0].tolist(), drawn.weight.tolist(), strict=True):
            counts[frame] = counts.get(frame, 0) + 1
            assert weight == pytest.approx(expected[frame], rel=1e-5)
    priorities = np.concatenate(errors) / np.concatenate(errors).sum()
    for frame, chance in zip(expected, priorities, strict=True):
        assert counts[frame] / draws == pytest.approx(chance, abs=0.008)


def test_new_records_enter_every_shard_with_the_greatest_priority_of_all():
    one = ReplayShard(PRIORITIZED, seed=0)
    one.add(episode(4))
    _, status = one.sample(1, priority_max=7.0)
    assert status.priority_max == 7
    assert one.add(episode(2, start=50, sequence=5)).mass == 4 + 2 * 7


def test_joined_batches_are_the_batches():
    parts = []
    for start in (0, 100):
        one = shard(n_step=2)
        one.add(episode(6, start=start))
        parts.append(one.sample(5)[0])
    order = np.random.default_rng(0).permutation(10)
    joined = Batch.join(parts, order)
    assert len(joined) == 10
    for name in ("s_tm1", "s_t", "a_tm1", "r_t", "discount_t", "id", "origin", "weight"):
        separate = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(joined, name), separate[order], name)
    assert Batch.join(parts[:1]) is parts[0]


@pytest.mark.parametrize("arguments", [ARGUMENTS, PRIORITIZED])
@pytest.mark.parametrize(("old", "new"), [(1, 3), (3, 1), (2, 3)])
def test_another_number_of_shards_holds_the_same_transitions(tmp_path, arguments, old, new):
    """Whole episodes move: every transition is there again, none is new, open ones go on."""
    arguments = arguments | {"n_step": 2, "capacity": 200}
    num_streams = 6
    shards = [ReplayShard(arguments, seed=i) for i in range(old)]
    frame = 0
    for stream in range(num_streams):
        home = shards[int(shard_of(np.int64(stream), num_streams, old))]
        for number, length in enumerate((5, 4)):
            home.add(episode(length, start=frame, stream=stream, sequence=10 * number))
            frame += length + 1
        home.add(table("F . .", frames=range(frame, frame + 3), stream=stream, sequence=20))
        frame += 3
    before: dict[tuple, float] = {}
    for i, one in enumerate(shards):
        ids = one.replay.valid_ids()
        if isinstance(one.replay, PrioritizedReplay):
            one.replay.update_priorities(ids, 0.01 * (ids + 1))
        priorities = getattr(one.replay, "priorities", np.zeros_like)(ids).tolist()
        found = [str(row) for row in rows(one.replay).values()]
        before |= dict(zip(found, priorities, strict=True))
        one.save(str(tmp_path / str(i)))

    others = [ReplayShard(arguments, seed=9) for _ in range(new)]
    folders = [tmp_path / str(i) for i in range(old)]
    for move in reshard(folders, num_streams=num_streams, num_shards=new):
        others[move.shard].add(move.fragment, move.priorities)
    after: dict[tuple, float] = {}
    for one in others:
        ids = one.replay.valid_ids()
        priorities = getattr(one.replay, "priorities", np.zeros_like)(ids).tolist()
        found = [str(row) for row in rows(one.replay).values()]
        after |= dict(zip(found, priorities, strict=True))
    assert after == before
    fills = [len(one.replay) for one in others]
    assert max(fills) - min(fills) <= 12
    # The open episode of a stream goes on in the shard that the stream now goes to.
    home = others[int(shard_of(np.int64(4), num_streams, new))]
    count = len(home.replay.valid_ids())
    home.add(table(". .", frames=[251, 252], stream=4, sequence=23))
    assert len(home.replay.valid_ids()) == count + 2


def test_what_was_lost_or_evicted_stays_so_when_records_move(tmp_path):
    old = ReplayShard(ARGUMENTS | {"capacity": 10}, seed=0)
    old.add(episode(6))  # its beginning is evicted by what follows
    old.add(table("F . .", frames=[20, 21, 22], sequence=7))
    old.add(table(". . .", frames=[25, 26, 27], sequence=12))  # after a gap
    old.save(str(tmp_path / "old"))
    new = ReplayShard(ARGUMENTS, seed=0)
    for move in reshard([tmp_path / "old"], num_streams=1, num_shards=1):
        new.add(move.fragment, move.priorities)
    assert list(rows(new.replay).values()) == list(rows(old.replay).values())
