"""The replay on tables small enough to check by eye. Frames are single numbers."""

import numpy as np
import pytest

from algorithms.replay import FrameCodec
from tests.algorithms.replay.tables import make, rows, table


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


def test_actions_of_several_steps_are_discounted_by_them():
    several = dict(rewards=[1, 2, 4, 0], durations=[2, 3, 1, 1], goals=[7, 8, 255, 0])
    for discount_durations, returns, discounts in (
        (True, [1 + 2 / 4, 2 + 4 / 8, 4.0], [0.5**5, 0.5**4, 0.5]),
        (False, [1 + 2 / 2, 2 + 4 / 2, 4.0], [0.25, 0.25, 0.5]),
    ):
        replay = make(n_step=2, discount_durations=discount_durations)
        replay.add(table("F . . E", frames=[1, 2, 3, 4], **several))
        batch = replay.gather(replay.valid_ids())
        assert batch.r_t.tolist() == returns
        assert batch.discount_t.tolist() == discounts
        assert batch.goal.tolist() == [7, 8, 255]
        assert batch.duration.tolist() == [5, 4, 1]


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
