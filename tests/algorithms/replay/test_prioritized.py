"""The prioritized replay on small tables. Frames are single numbers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.replay import PrioritizedReplay
from algorithms.replay.prioritized import ERROR_EPSILON
from tests.algorithms.replay.tables import make as make_uniform
from tests.algorithms.replay.tables import table


def make(**options: Any) -> PrioritizedReplay:
    defaults: dict[str, Any] = {
        "capacity": 16,
        "frame_shape": (1,),
        "stack": 2,
        "gamma": 0.5,
        "priority_exponent": 1.0,
        "rng": np.random.default_rng(0),
    }
    return PrioritizedReplay(**{**defaults, **options})


def priorities(replay: PrioritizedReplay) -> dict[int, float]:
    """Positive priorities of the records held, rounded: the epsilon of an error is left out."""
    ids = np.arange(replay.tail, replay.head)
    values = replay._tree.get(ids % replay.capacity)
    return {int(i): round(float(p), 4) for i, p in zip(ids, values, strict=True) if p > 0}


def update(replay: PrioritizedReplay, errors: dict[int, float]) -> None:
    replay.update_priorities(np.array(list(errors)), np.array(list(errors.values()), np.float32))


def test_records_come_in_at_the_greatest_priority_so_far():
    replay = make()
    replay.add(table("F . .", frames=[1, 2, 3]))
    assert priorities(replay) == {0: 1, 1: 1, 2: 1}
    update(replay, {0: 5, 1: 0.25})
    replay.add(table(".", frames=[4], sequence=3))
    assert priorities(replay) == {0: 5, 1: 0.25, 2: 1, 3: 5}
    update(replay, {0: 0.5, 3: 0.5})
    replay.add(table(".", frames=[5], sequence=4))
    assert priorities(replay) == {0: 0.5, 1: 0.25, 2: 1, 3: 0.5, 4: 5}  # of all time
    assert replay.priority_min == pytest.approx(0.25, abs=1e-5)
    assert replay.priority_total == pytest.approx(7.25, abs=1e-4)


def test_final_records_have_no_priority():
    replay = make()
    replay.add(table("F T E F T E", frames=[1, 2, 3, 4, 5, 6]))
    assert priorities(replay) == {0: 1, 1: 1, 3: 1, 4: 1}


def test_priority_is_the_power_of_the_error():
    replay = make(priority_exponent=0.5)
    replay.add(table("F . . .", frames=[1, 2, 3, 4]))
    update(replay, {0: 4, 1: 0})
    values = replay._tree.get(np.arange(3))
    expected = [(4 + ERROR_EPSILON) ** 0.5, ERROR_EPSILON**0.5, 1]
    np.testing.assert_allclose(values, expected)


def test_evicted_records_lose_their_priority_to_those_in_their_slots():
    replay = make(capacity=4, stack=1)
    replay.add(table("F . . .", frames=[1, 2, 3, 4]))
    update(replay, {0: 2, 1: 3, 2: 4, 3: 5})
    replay.add(table(". E", frames=[5, 6], sequence=4))
    assert priorities(replay) == {2: 4, 3: 5, 4: 5}
    assert replay.priority_total == pytest.approx(14, abs=1e-4)


def test_records_evicted_for_their_bytes_lose_their_priority():
    replay = make(capacity=200, max_bytes=16_000)
    for stream in range(200):
        replay.add(table("F .", frames=[1, 2], stream=stream))
        assert replay.nbytes <= 16_000
        assert replay.priority_total == len(replay)
    assert 0 < len(replay) < 200
    assert replay.sample(64).id.min() >= replay.tail


def test_fragment_longer_than_the_replay():
    replay = make(capacity=4, stack=1)
    replay.add(table("F . . . . . . . T E", frames=range(1, 11)))
    assert priorities(replay) == {6: 1, 7: 1, 8: 1}


def test_dead_unknown_and_final_ids_are_ignored_when_updating():
    replay = make(capacity=4, stack=1)
    replay.add(table("F . . . T E", frames=[1, 2, 3, 4, 5, 6]))
    update(replay, {-1: 9, 0: 9, 1: 9, 2: 3, 5: 9, 6: 9, 100: 9})
    assert priorities(replay) == {2: 3, 3: 1, 4: 1}
    replay.add(table("F", frames=[7], sequence=6))
    assert priorities(replay) == {3: 1, 4: 1, 6: 3}  # errors that were ignored are not seen


def test_last_error_of_a_repeated_id_counts():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    replay.update_priorities(np.array([0, 1, 0]), np.array([5.0, 2.0, 3.0]))
    assert priorities(replay) == {0: 3, 1: 2}


@pytest.mark.parametrize(
    ("error", "alpha"), [(math.nan, 1), (-0.5, 1), (-1e-7, 1), (math.inf, 1), (1e38, 10)]
)
def test_impossible_errors_are_refused_and_nothing_is_changed(error, alpha):
    replay = make(priority_exponent=alpha)
    replay.add(table("F .", frames=[1, 2]))
    with pytest.raises(ValueError, match="of transition 1: must be finite"):
        replay.update_priorities(np.array([0, 1]), np.array([7.0, error]))
    assert priorities(replay) == {0: 1, 1: 1}


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_errors_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="must be \\(B,\\) both"):
        make().update_priorities(np.array([0, 1]), np.ones(shape))


@pytest.mark.parametrize("alpha", [-0.1, 10.1, math.nan])
def test_impossible_exponents_are_refused(alpha):
    with pytest.raises(ValueError, match="priority_exponent"):
        make(priority_exponent=alpha)


def test_weights_are_those_of_the_paper():
    """w = (N P(i)) ** -beta / max w, of the errors 1, 2, 4, 8 and alpha 1, beta 1/2."""
    replay = make(importance_exponent=0.5)
    replay.add(table("F . . . T E", frames=[1, 2, 3, 4, 5, 6]))
    update(replay, {0: 1, 1: 2, 2: 4, 3: 8, 4: 1})
    batch = replay.gather(np.arange(5))
    probability = np.array([1, 2, 4, 8, 1]) / 16
    weight = (len(replay) * probability) ** -0.5
    assert batch.weight.dtype == np.float32
    np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=1e-5)
    np.testing.assert_allclose(batch.weight, [1, 0.5**0.5, 0.5, 0.125**0.5, 1], rtol=1e-5)


def test_greatest_weight_is_that_of_the_replay_not_of_the_batch():
    replay = make()
    replay.add(table("F . . T E", frames=[1, 2, 3, 4, 5]))
    update(replay, {0: 1, 1: 4, 2: 2, 3: 2})
    np.testing.assert_allclose(replay.gather(np.array([1, 2])).weight, [0.25, 0.5], rtol=1e-5)


def test_exponent_of_the_weights_may_change_at_any_time():
    replay = make()
    replay.add(table("F . T E", frames=[1, 2, 3, 4]))
    update(replay, {0: 1, 1: 4, 2: 4})
    ids = np.array([0, 1])
    for beta, expected in [(0.0, 1), (0.5, 0.5), (1.0, 0.25)]:
        replay.importance_exponent = beta
        np.testing.assert_allclose(replay.gather(ids).weight, [1, expected], rtol=1e-5)


def test_shards_weigh_as_the_whole_replay_does():
    """Two shards, drawn from in proportion to their sums, against the formula over both."""
    shards = [make(importance_exponent=0.7), make(importance_exponent=0.7)]
    errors = [np.array([3.0, 6.0, 2.0]), np.array([0.5, 10.0, 1.0])]
    for shard, own in zip(shards, errors, strict=True):
        shard.add(table("F . T E", frames=[1, 2, 3, 4]))
        shard.update_priorities(np.arange(3), own)
    total = sum(shard.priority_total for shard in shards)
    least = min(shard.priority_min for shard in shards)
    whole = (6 * np.concatenate(errors) / total) ** -0.7
    weights = [shard.gather(np.arange(3), priority_min=least).weight for shard in shards]
    np.testing.assert_allclose(np.concatenate(weights), whole / whole.max(), rtol=1e-5)


def test_uniform_replay_weighs_everything_the_same():
    replay = make_uniform()
    replay.add(table("F . T E", frames=[1, 2, 3, 4]))
    weight = replay.sample(5).weight
    assert weight.dtype == np.float32 and weight.tolist() == [1] * 5


def chi_square(ids: np.ndarray, probability: np.ndarray) -> float:
    counts = np.bincount(ids, minlength=len(probability))
    assert not counts[probability == 0].any()
    expected = len(ids) * probability
    return float(((counts - expected) ** 2)[expected > 0] @ (1 / expected[expected > 0]))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_transitions_are_drawn_in_proportion_to_their_priorities(alpha, batch_size):
    """With invalid records in between, hopeless ones and some at the newest end."""
    replay = make(capacity=100, stack=2, n_step=2, priority_exponent=alpha)
    replay.add(table("F . . . T E " * 9, frames=np.arange(54), sequence=0))
    replay.add(table(". . . . F . . .", frames=np.arange(8), sequence=60))
    errors = np.random.default_rng(1).uniform(0.1, 4, replay.head)
    replay.update_priorities(np.arange(replay.head), errors)
    valid = replay.valid_ids()
    expected = np.zeros(replay.head)
    expected[valid] = (errors[valid] + ERROR_EPSILON) ** alpha
    num_draws = 14_000 // batch_size
    ids = np.concatenate([replay.sample_ids(batch_size) for _ in range(num_draws)])
    free = len(valid) - 1
    assert chi_square(ids, expected / expected.sum()) < free + 6 * (2 * free) ** 0.5


def test_batch_is_stratified_and_in_random_order():
    replay = make(capacity=1000, stack=1)
    replay.add(table("F" + " ." * 800, frames=np.arange(801) % 250))
    replay.update_priorities(np.arange(800), np.repeat([1.0, 3.0], 400))
    replay.update_priorities(np.array([800]), np.array([0.0]))
    first_halves = []
    for _ in range(50):
        ids = replay.sample_ids(80)
        # One from each 80th of the sum; the epsilons of the errors shift the borders a little.
        counts = np.histogram(ids, bins=range(0, 801, 100))[0]
        assert abs(counts - [5, 5, 5, 5, 15, 15, 15, 15]).max() <= 1
        first_halves.append(ids[:40].mean())
    assert abs(np.mean(first_halves) - 500) < 40  # where sorted, 300


def test_gap_loses_its_priority_once_it_is_drawn():
    replay = make(n_step=2)
    replay.add(
        table(
            "F . . . . . . .",
            frames=[1, 2, 3, 4, 5, 6, 7, 8],
            sequence=[0, 1, 2, 3, 5, 6, 7, 8],  # the fifth record was lost
        )
    )
    assert replay.valid_ids().tolist() == [0, 1, 5]
    assert set(replay.sample_ids(200).tolist()) == {0, 1, 5}
    # 2 and 3 have no windows and 4 no stack, for good; 6 and 7 wait for what comes.
    assert list(priorities(replay)) == [0, 1, 5, 6, 7]
    update(replay, {2: 9, 4: 9})
    replay.add(table(". .", frames=[9, 10], sequence=9))
    assert list(priorities(replay)) == [0, 1, 5, 6, 7, 8, 9]
    assert set(replay.sample_ids(200).tolist()) == {0, 1, 5, 6, 7}


def test_record_whose_older_planes_are_evicted_loses_its_priority_once_it_is_drawn():
    replay = make(capacity=6, stack=3)
    replay.add(table("F . . . . . . .", frames=range(1, 9)))
    assert list(priorities(replay)) == [2, 3, 4, 5, 6, 7]
    assert set(replay.sample_ids(100).tolist()) == {4, 5, 6}
    assert list(priorities(replay)) == [4, 5, 6, 7]


def test_episode_left_open_loses_its_end_when_the_next_begins():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    replay.sample_ids(50)
    assert list(priorities(replay)) == [0, 1]
    replay.add(table("F .", frames=[3, 4], sequence=2))
    replay.sample_ids(50)
    assert list(priorities(replay)) == [0, 2, 3]


def test_few_valid_transitions_of_small_priority_are_found():
    replay = make(capacity=500, n_step=100)
    replay.add(table("F" + " ." * 102, frames=np.ones(103)))
    update(replay, {0: 0.0, 1: 0.0, 2: 0.0, 102: 1e6})
    ids = replay.sample_ids(500)
    assert set(ids.tolist()) == {0, 1, 2}


def test_sampling_from_nothing_says_how_many_there_are():
    replay = make()
    with pytest.raises(ValueError, match="no valid transition to sample among 0 held"):
        replay.sample(4)
    replay.add(table("F", frames=[1]))
    with pytest.raises(ValueError, match="among 1 held"):
        replay.sample(4)
    replay.add(table(". .", frames=[1, 2], sequence=5))
    with pytest.raises(ValueError, match="among 3 held"):
        replay.sample(4)
    with pytest.raises(ValueError, match="batch_size 0"):
        replay.sample(0)


def assert_same(mine: Any, theirs: Any) -> None:
    for name in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t", "id", "weight"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(seed=st.integers(0, 999), max_bytes=st.sampled_from([None, 9_000]))
def test_restored_replay_goes_on_identically(seed, max_bytes):
    rng = np.random.default_rng(seed)
    options = {"capacity": 40, "n_step": 2, "priority_exponent": 0.6, "max_bytes": max_bytes}
    replay = make(**options, importance_exponent=0.4)
    replay.add(table("F . . .", frames=range(4)))
    number = 4
    for _ in range(30):
        words = rng.choice([".", ".", "T", "F"], 3)
        replay.add(table(" ".join(words), frames=rng.integers(0, 250, 3), sequence=number))
        number += 3 + int(rng.random() < 0.1)  # a record is lost at times
        batch = replay.sample(4)
        replay.update_priorities(batch.id, rng.exponential(size=4))
    restored = make(**options, rng=np.random.default_rng(99))
    restored.set_state(replay.get_state())
    for _ in range(10):
        new = table(". .", frames=rng.integers(0, 250, 2), sequence=number)
        number += 2
        errors = rng.exponential(size=8)
        for each in (replay, restored):
            each.add(new)
        mine, theirs = replay.sample(8), restored.sample(8)
        assert_same(mine, theirs)
        for each in (replay, restored):
            each.update_priorities(mine.id, errors)
        assert restored.priority_total == replay.priority_total
        assert restored.priority_min == replay.priority_min
        assert restored.nbytes == replay.nbytes


def test_state_of_a_uniform_replay_gives_all_the_same_priority():
    uniform = make_uniform()
    uniform.add(table("F . T E F . .", frames=range(7)))
    replay = make()
    replay.add(table("F" + " ." * 12, frames=range(13)))
    update(replay, {3: 100})
    replay.set_state(uniform.get_state())
    assert priorities(replay) == dict.fromkeys([0, 1, 2, 4, 5, 6], 1)
    assert replay.sample(5).weight.tolist() == [1] * 5


def test_uniform_state_leaves_room_for_the_priorities():
    options: dict[str, Any] = {"capacity": 64, "frame_shape": (10,), "compression": "none"}
    records = "F" + " ." * 63
    full = make_uniform(**options)
    full.add(table(records, frames=np.ones((64, 10)), codec=full.codec))
    uniform = make_uniform(**options, max_bytes=full.nbytes)
    replay = make(**options, max_bytes=full.nbytes)
    uniform.add(table(records, frames=np.ones((64, 10)), codec=full.codec))
    assert uniform.tail == 0
    replay.set_state(uniform.get_state())
    assert 0 < replay.tail < 10 and replay.nbytes <= full.nbytes
    assert replay.priority_total == len(replay)


def test_uniform_replay_takes_up_the_state_of_a_prioritized_one():
    replay = make()
    replay.add(table("F . T E", frames=range(4)))
    uniform = make_uniform()
    uniform.set_state(replay.get_state())
    assert uniform.valid_ids().tolist() == [0, 1, 2]
    assert uniform.sample(3).weight.tolist() == [1, 1, 1]


def test_state_of_another_exponent_is_refused():
    replay = make(priority_exponent=0.5)
    with pytest.raises(ValueError, match=r"priority_exponent of the saved replay is 1\.0"):
        replay.set_state(make().get_state())


def test_priorities_count_in_the_bytes():
    assert make().nbytes - make_uniform().nbytes == 32 * 8
    with pytest.raises(ValueError, match="max_bytes 20000: 1000 slots"):
        make(capacity=1000, max_bytes=20_000)
