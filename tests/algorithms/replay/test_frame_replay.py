"""The replay on tables small enough to check by eye. Frames are single numbers."""

from typing import Any

import numpy as np
import pytest

from algorithms.replay import FrameCodec, FrameReplay
from tests.algorithms.replay.tables import table


def make(**options: Any) -> FrameReplay:
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


def test_one_episode_gives_its_steps():
    replay = make()
    replay.add(table("F . T E", frames=[1, 2, 3, 4], rewards=[5, -6, 7, 0]))
    assert len(replay) == 3
    assert rows(replay) == {
        0: ([0, 1], 10, 5.0, 0.5, [1, 2]),
        1: ([1, 2], 20, -6.0, 0.5, [2, 3]),
        2: ([2, 3], 30, 7.0, 0.0, [3, 4]),
    }


def test_stack_never_crosses_an_episode():
    replay = make(stack=3)
    replay.add(table("F T E F . T E", frames=[1, 2, 3, 4, 5, 6, 7]))
    states = {id_: row[0] for id_, row in rows(replay).items()}
    assert states == {0: [0, 0, 1], 1: [0, 1, 2], 3: [0, 0, 4], 4: [0, 4, 5], 5: [4, 5, 6]}


def test_first_frame_ends_what_was_left_open():
    replay = make()
    replay.add(table("F . F .", frames=[1, 2, 3, 4]))
    assert rows(replay) == {
        0: ([0, 1], 10, 0.0, 0.5, [1, 2]),
        2: ([0, 3], 30, 0.0, 0.5, [3, 4]),
    }


def test_frame_after_the_final_one_begins_nothing_unless_first():
    replay = make()
    replay.add(table("F T E . . .", frames=[1, 2, 3, 4, 5, 6]))
    assert list(rows(replay)) == [0, 1, 4]


def test_terminated_in_mid_episode_keeps_the_stack():
    replay = make(stack=3, n_step=2)
    replay.add(table("F T . .", frames=[1, 2, 3, 4], rewards=[1, 2, 4, 8]))
    assert rows(replay) == {
        0: ([0, 0, 1], 10, 2.0, 0.0, [1, 2, 3]),  # ends at the lost life
        1: ([0, 1, 2], 20, 2.0, 0.0, [1, 2, 3]),
    }
    replay.add(table(".", frames=[5], sequence=4))
    assert rows(replay)[2] == ([1, 2, 3], 30, 8.0, 0.25, [3, 4, 5])


def test_truncation_bootstraps():
    replay = make(n_step=3)
    replay.add(table("F . C E F .", frames=[1, 2, 3, 4, 5, 6], rewards=[1, 2, 4, 0, 8, 16]))
    assert rows(replay) == {
        0: ([0, 1], 10, 1 + 2 / 2 + 4 / 4, 0.125, [3, 4]),
        1: ([1, 2], 20, 2 + 4 / 2, 0.25, [3, 4]),
        2: ([2, 3], 30, 4.0, 0.5, [3, 4]),
    }


def test_window_ends_at_the_final_frame_even_without_a_reason():
    replay = make(n_step=3)
    replay.add(table("F . E", frames=[1, 2, 3], rewards=[1, 2, 0]))
    assert rows(replay) == {
        0: ([0, 1], 10, 2.0, 0.25, [2, 3]),
        1: ([1, 2], 20, 2.0, 0.5, [2, 3]),
    }


def test_window_must_be_complete():
    replay = make(n_step=2)
    replay.add(table("F .", frames=[1, 2]))
    assert len(replay) == 2 and not rows(replay)
    replay.add(table("T", frames=[3], sequence=2, rewards=[1]))
    assert list(rows(replay)) == [0]
    replay.add(table("E", frames=[4], sequence=3))
    assert rows(replay)[1] == ([1, 2], 20, 0.5, 0.0, [3, 4])
    assert rows(replay)[2] == ([2, 3], 30, 1.0, 0.0, [3, 4])


def test_gap_closes_stack_and_window():
    replay = make(stack=3, n_step=2)
    replay.add(
        table(
            "F . . . . . . .",
            frames=[1, 2, 3, 4, 5, 6, 7, 8],
            sequence=[0, 1, 2, 3, 5, 6, 7, 8],  # the fifth record was lost
        )
    )
    # 2 and 3 have windows, 4 and 5 stacks that reach across; 6 and 7 are not complete yet.
    assert list(rows(replay)) == [0, 1]
    replay.add(table(". .", frames=[9, 10], sequence=9))
    assert list(rows(replay)) == [0, 1, 6, 7]
    assert rows(replay)[6][0] == [5, 6, 7]


def test_window_that_ended_before_a_gap_is_whole():
    replay = make(n_step=3)
    replay.add(table("F T . . .", frames=[1, 2, 3, 4, 5], sequence=[0, 1, 2, 7, 8]))
    assert list(rows(replay)) == [0, 1]


def test_lost_frame_after_termination_makes_the_transition_invalid():
    replay = make()
    replay.add(table("F T F .", frames=[1, 2, 3, 4], sequence=[0, 1, 3, 4]))
    assert list(rows(replay)) == [0, 2]


@pytest.mark.parametrize("sequence", [2, 1, 0])
def test_repeated_number_is_a_gap(sequence):
    replay = make()
    replay.add(table("F . .", frames=[1, 2, 3]))
    replay.add(table(". . .", frames=[4, 5, 6], sequence=sequence))
    assert list(rows(replay)) == [0, 1, 4]


def test_restarted_runner_begins_anew():
    replay = make()
    replay.add(table("F . .", frames=[1, 2, 3]))
    replay.add(table("F . .", frames=[4, 5, 6]))
    assert list(rows(replay)) == [0, 1, 3, 4]
    assert rows(replay)[3][0] == [0, 4]


def test_streams_do_not_mix():
    replay = make()
    replay.add(table("F F . .", frames=[1, 5, 2, 6], stream=[0, 7, 0, 7], sequence=[0, 0, 1, 1]))
    replay.add(table("T T E E", frames=[7, 3, 8, 4], stream=[7, 0, 7, 0], sequence=[2, 2, 3, 3]))
    assert rows(replay) == {
        0: ([0, 1], 10, 0.0, 0.5, [1, 2]),
        1: ([0, 5], 50, 0.0, 0.5, [5, 6]),
        2: ([1, 2], 20, 0.0, 0.5, [2, 3]),
        3: ([5, 6], 60, 0.0, 0.5, [6, 7]),
        4: ([6, 7], 70, 0.0, 0.0, [7, 8]),
        5: ([2, 3], 30, 0.0, 0.0, [3, 4]),
    }


def test_evicted_frames_make_a_transition_invalid():
    replay = make(capacity=5, stack=3)
    replay.add(table("F . . . .", frames=[1, 2, 3, 4, 5]))
    assert list(rows(replay)) == [0, 1, 2, 3]
    replay.add(table(".", frames=[6], sequence=5))  # evicts the first
    assert (replay.tail, replay.head) == (1, 6)
    assert list(rows(replay)) == [3, 4]
    assert rows(replay)[3][0] == [2, 3, 4]


def test_fragment_longer_than_the_replay_leaves_its_end():
    replay = make(capacity=4, stack=1)
    replay.add(table("F . . . . . . . T E", frames=range(1, 11)))
    assert len(replay) == 3
    assert list(rows(replay)) == [6, 7, 8]


def test_final_records_take_slots():
    replay = make(capacity=4, stack=1)
    replay.add(table("F T E F T E", frames=[1, 2, 3, 4, 5, 6]))
    assert len(replay) == 2


def test_evicted_streams_are_forgotten():
    replay = make(capacity=8)
    sizes = []
    for stream in range(100):
        replay.add(table("F .", frames=[1, 2], stream=stream))
        sizes.append(replay.nbytes)
    assert len(set(sizes[10:])) == 1


@pytest.mark.parametrize("stack", [4, 256])
def test_deep_episodes_keep_their_stacks(stack):
    replay = make(capacity=1000, stack=stack, frame_dtype=np.int16)
    codec = FrameCodec((1,), np.int16)
    frames = np.arange(1, 601)
    replay.add(table("F" + " ." * 599, frames=frames, codec=codec))
    states = replay.gather(replay.valid_ids()).s_tm1[..., 0]
    padded = np.concatenate([np.zeros(stack - 1), frames])
    expected = np.lib.stride_tricks.sliding_window_view(padded, stack)[:599]
    np.testing.assert_array_equal(states, expected)


def test_clipping_is_by_step_before_the_sum():
    replay = make(n_step=3, clip_rewards=True)
    replay.add(table("F . T E", frames=[1, 2, 3, 4], rewards=[5, -7, 0.25, 0]))
    assert [row[2] for row in rows(replay).values()] == [1 - 0.5 + 0.25, -1 + 0.5, 1.0]


def test_batch_has_the_promised_shapes_and_dtypes():
    replay = make(frame_shape=(3, 2), frame_dtype=np.float32, stack=4)
    codec = FrameCodec((3, 2), np.float32)
    replay.add(table("F . T E", frames=np.arange(24.0), codec=codec))
    batch = replay.sample(5)
    assert batch.s_tm1.shape == batch.s_t.shape == (5, 4, 3, 2)
    assert batch.s_tm1.dtype == batch.s_t.dtype == np.float32
    assert batch.a_tm1.dtype == batch.id.dtype == np.int64
    assert batch.r_t.dtype == batch.discount_t.dtype == np.float32
    assert batch.a_tm1.shape == batch.r_t.shape == batch.discount_t.shape == (5,)


def test_batch_of_one_keeps_its_batch_axis():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    batch = replay.sample(1)
    assert batch.s_tm1.shape == (1, 2, 1)
    assert batch.a_tm1.shape == batch.r_t.shape == batch.discount_t.shape == batch.id.shape == (1,)


def test_sampled_states_share_no_memory():
    replay = make()
    replay.add(table("F . .", frames=[1, 2, 3]))
    batch = replay.gather(np.array([0, 0, 1]))
    batch.s_tm1[0] = 99
    assert batch.s_tm1[1, 1, 0] == 1 and batch.s_t[0, 0, 0] == 1
    assert rows(replay)[0][0] == [0, 1]


def chi_square(ids: np.ndarray, valid: np.ndarray) -> float:
    counts = np.bincount(np.searchsorted(valid, ids), minlength=len(valid))
    assert np.isin(ids, valid).all()
    expected = len(ids) / len(valid)
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("flags", ["F . . . T E " * 40, "F . . . T E " + ". E " * 300])
def test_sampling_is_uniform_over_valid_transitions(flags):
    """Once with few invalid records and once with so many that they are listed."""
    num_records = len(flags.split())
    replay = make(capacity=1000, stack=3)
    replay.add(table(flags, frames=np.arange(num_records) % 250))
    valid = replay.valid_ids()
    ids = np.concatenate([replay.sample_ids(32) for _ in range(1000)])
    # Mean V - 1, standard deviation sqrt(2 (V - 1)): six of them are one in a billion.
    free = len(valid) - 1
    assert chi_square(ids, valid) < free + 6 * (2 * free) ** 0.5


def test_few_valid_transitions_among_many_are_found():
    replay = make(capacity=5000)
    replay.add(table("F ." + " . E" * 2000, frames=np.ones(4002)))
    np.testing.assert_array_equal(replay.valid_ids(), [0, 1, 2])
    assert set(replay.sample_ids(64).tolist()) == {0, 1, 2}


def test_sampling_from_nothing_says_how_many_there_are():
    replay = make()
    with pytest.raises(ValueError, match="no valid transition to sample among 0 held"):
        replay.sample(4)
    replay.add(table("F", frames=[1]))
    with pytest.raises(ValueError, match="among 1 held"):
        replay.sample(4)
    with pytest.raises(ValueError, match="batch_size 0"):
        replay.sample(0)


def test_gathering_an_invalid_transition_is_refused():
    replay = make(capacity=4)
    replay.add(table("F . . . . .", frames=[1, 2, 3, 4, 5, 6]))
    ids = np.array([-1, 1, 2, 3, 4, 5, 6, 100])
    np.testing.assert_array_equal(replay.is_valid(ids), [0, 0, 0, 1, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="transition 2 is not valid: ids 2 to 5 are held"):
        replay.gather(np.array([3, 2]))


def test_frames_of_another_codec_are_refused_and_nothing_is_added():
    replay = make(frame_shape=(100,))
    lz4, raw = FrameCodec((100,)), FrameCodec((100,), compression="none")
    with pytest.raises(ValueError, match="take 1000 to 1000 bytes"):
        other = FrameCodec((1000,), compression="none")
        replay.add(table("F", frames=np.zeros(1000), codec=other))
    with pytest.raises(ValueError, match="is not a uint8 frame of shape"):
        replay.add(table("F .", frames=np.zeros(200), codec=raw))
    with pytest.raises(ValueError, match='compression "none" takes 100 to 100'):
        raw_replay = make(frame_shape=(100,), compression="none")
        raw_replay.add(table("F .", frames=np.zeros(200), codec=lz4))
    assert replay.head == 0
    replay.add(table("F .", frames=np.zeros(200), codec=lz4))
    assert replay.head == 2


def test_empty_fragment_changes_nothing():
    replay = make()
    replay.add(table("", frames=[]))
    assert replay.head == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "capacity 0"),
        ({"stack": 0}, "stack 0"),
        ({"stack": 257}, "stack 257"),
        ({"n_step": 0}, "n_step 0"),
        ({"gamma": 1.5}, "gamma 1.5"),
        ({"max_bytes": 1000}, "max_bytes 1000: 16 slots and the frames of one transition take"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_ceiling_in_bytes_holds_and_keeps_the_newest(compression):
    ceiling = 400_000
    codec = FrameCodec((28, 28), compression=compression)
    options = {"capacity": 2000, "frame_shape": (28, 28), "compression": compression}
    replay = make(**options, max_bytes=ceiling)
    rng = np.random.default_rng(0)
    lengths = []
    for number in range(0, 2000, 20):
        frames = rng.integers(0, 256, (20, 28, 28))
        flags = " ".join(["F" if number == 0 else "."] + ["."] * 19)
        replay.add(table(flags, frames=frames, codec=codec, sequence=number))
        assert replay.nbytes <= ceiling
        lengths.append(len(replay))
    assert replay.head == 2000
    # Noise does not compress. The metadata takes 60 KB; of the 30 chunks that are left, one is
    # evicted at a time and every one has a rest that is too short for a frame.
    assert min(lengths[50:]) * 784 > 0.86 * (ceiling - 60_000)
    assert replay.sample(32).id.min() > replay.tail


def test_ceiling_holds_for_any_number_of_streams():
    replay = make(capacity=200, max_bytes=12_000)
    for stream in range(200):
        replay.add(table("F .", frames=[1, 2], stream=stream))
        assert replay.nbytes <= 12_000
    assert list(rows(replay))


def test_least_ceiling_holds_one_transition():
    noise = np.random.default_rng(0).integers(0, 256, (30, 500))
    codec = FrameCodec((500,))
    options: dict[str, Any] = {"capacity": 40, "frame_shape": (500,), "stack": 4, "n_step": 2}
    with pytest.raises(ValueError, match="take") as error:
        make(**options, max_bytes=1)
    least = int(str(error.value).split("take ")[1].split(";")[0])
    replay = make(**options, max_bytes=least)
    replay.add(table("F" + " ." * 29, frames=noise, codec=codec))
    assert replay.nbytes <= least
    np.testing.assert_array_equal(replay.sample(1).s_tm1[0], noise[24:28])


def test_small_replay_is_small():
    assert make(capacity=100, stack=4).nbytes < 10_000
    replay = make(capacity=100, frame_shape=(84, 84), compression="none")
    codec = FrameCodec((84, 84), compression="none")
    replay.add(table("F" + " ." * 99, frames=np.zeros(100 * 84 * 84), codec=codec))
    assert replay.nbytes < 1.05 * 100 * 84 * 84


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_restored_replay_goes_on_identically(compression):
    codec = FrameCodec((1,), compression=compression)
    options = {"capacity": 12, "compression": compression, "n_step": 2, "max_bytes": 8_000}
    replay = make(**options)
    first = table("F . . . T E F . . . . . . .", frames=range(1, 15), codec=codec)
    replay.add(first)
    restored = make(**options, rng=np.random.default_rng(99))
    restored.set_state(replay.get_state())
    assert len(restored) == len(replay) and restored.nbytes == replay.nbytes
    for number in range(14, 40):
        for each in (replay, restored):
            each.add(table(".", frames=[number], sequence=number, codec=codec))
        mine, theirs = replay.sample(8), restored.sample(8)
        for name in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t", "id"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        assert restored.nbytes == replay.nbytes


def test_empty_replay_can_be_saved():
    restored = make()
    restored.set_state(make().get_state())
    restored.add(table("F .", frames=[1, 2]))
    assert list(rows(restored)) == [0]


def test_state_is_a_copy():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    state = replay.get_state()
    for _ in range(20):
        replay.add(table("F .", frames=[3, 4]))
    restored = make()
    restored.set_state(state)
    assert rows(restored) == {0: ([0, 1], 10, 0.0, 0.5, [1, 2])}


@pytest.mark.parametrize(
    "change",
    [
        {"stack": 3},
        {"capacity": 17},
        {"frame_shape": (2,)},
        {"frame_dtype": np.int8},
        {"compression": "none"},
        {"max_bytes": 50_000},
    ],
)
def test_state_of_another_layout_is_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} of the saved replay is"):
        make(**change).set_state(make().get_state())


def test_gamma_may_change_on_restore():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    restored = make(gamma=0.25)
    restored.set_state(replay.get_state())
    assert rows(restored)[0][3] == 0.25
