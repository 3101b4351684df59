"""The sum tree: a table to check by eye, and against cumulative sums."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.replay.sum_tree import FANOUT, SumTree


def tree_of(*leaves: float) -> SumTree:
    tree = SumTree(len(leaves))
    tree.set(np.arange(len(leaves)), np.array(leaves, dtype=np.float64))
    return tree


def test_masses_fall_in_the_slots_they_cover():
    tree = tree_of(2, 0, 1, 0.5, 0)
    assert (tree.total, tree.minimum) == (3.5, 0.5)
    masses = np.array([0, 1.9, 2, 2.9, 3, 3.4])
    assert tree.find(masses).tolist() == [0, 0, 2, 2, 3, 3]
    np.testing.assert_array_equal(tree.get(np.array([3, 0, 1])), [0.5, 2, 0])


def test_empty_tree_has_no_least_priority():
    tree = SumTree(3)
    assert (tree.total, tree.minimum) == (0, math.inf)


def test_last_value_of_a_repeated_slot_counts():
    tree = tree_of(1, 1)
    tree.set(np.array([1, 0, 1]), np.array([7.0, 5.0, 3.0]))
    assert (tree.total, tree.minimum) == (8, 3)


def test_setting_nothing_changes_nothing():
    tree = tree_of(1, 2)
    tree.set(np.empty(0, dtype=np.int64), np.empty(0))
    assert tree.total == 3


def test_mass_that_rounding_pushed_over_the_end_finds_the_last_positive_slot():
    tree = tree_of(*[0.1] * 70, 0, 0, 0)
    assert tree.find(np.array([tree.total, tree.total + 1])).tolist() == [69, 69]


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_impossible_priorities_are_refused_and_nothing_is_set(value):
    tree = tree_of(1, 2)
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        tree.set(np.array([0, 1]), np.array([5.0, value]))
    assert tree.total == 3


def test_tree_without_slots_is_refused():
    with pytest.raises(ValueError, match="capacity 0"):
        SumTree(0)


def test_state_of_another_capacity_is_refused():
    with pytest.raises(ValueError, match="capacity of the saved priorities is 2, this tree's 3"):
        SumTree(3).set_state(tree_of(1, 2).get_state())


def test_state_is_a_copy_unless_a_view_is_asked_for():
    tree = tree_of(1, 2)
    copied, viewed = tree.get_state(), tree.get_state(copy=False)
    tree.set(np.array([0]), np.array([9.0]))
    assert copied["leaves"].tolist() == [1, 2] and viewed["leaves"].tolist() == [9, 2]


def test_metadata_says_what_the_arrays_take():
    for capacity in (1, FANOUT, FANOUT + 1, 50_000):
        tree = SumTree(capacity)
        arrays = tree._sums + tree._minima
        assert sum(a.nbytes for a in arrays) == SumTree.metadata_nbytes(capacity)


# Sums of whole numbers are exact, so that what falls on a border is not left to rounding.
WHOLE = st.one_of(st.just(0), st.integers(0, 1000))
CAPACITIES = st.sampled_from([1, 2, 31, 32, 33, 40, 1023, 1024, 1025, 1100])


@settings(deadline=None, max_examples=150, derandomize=True)
@given(data=st.data(), capacity=CAPACITIES)
def test_tree_agrees_with_cumulative_sums(data, capacity):
    tree, reference = SumTree(capacity), np.zeros(capacity)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(1, 4))):
        num = data.draw(st.integers(0, 2 * capacity))
        slots = rng.integers(0, capacity, num)
        values = rng.integers(0, 1000, num) * (rng.random(num) < data.draw(st.floats(0, 1)))
        tree.set(slots, values.astype(np.float64))
        for slot, value in zip(slots, values, strict=True):
            reference[slot] = value
        positive = reference[reference > 0]
        assert tree.total == reference.sum()
        assert tree.minimum == (positive.min() if len(positive) else math.inf)
        np.testing.assert_array_equal(tree.get(np.arange(capacity)), reference)
        if len(positive):
            masses = np.concatenate([rng.integers(0, int(tree.total), 20), [tree.total - 1]])
            expected = np.searchsorted(np.cumsum(reference), masses, side="right")
            np.testing.assert_array_equal(tree.find(masses.astype(np.float64)), expected)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    capacity=CAPACITIES,
    seed=st.integers(0, 999),
    spread=st.floats(0, 60),
)
def test_restored_tree_is_the_same_to_the_last_bit(capacity, seed, spread):
    rng = np.random.default_rng(seed)
    tree = SumTree(capacity)
    for _ in range(5):
        num = int(rng.integers(1, capacity + 1))
        values = 10.0 ** rng.uniform(-spread, spread, num) * (rng.random(num) < 0.7)
        tree.set(rng.integers(0, capacity, num), values)
    restored = SumTree(capacity)
    restored.set(np.arange(capacity), np.ones(capacity))
    restored.set_state(tree.get_state())
    assert (restored.total, restored.minimum) == (tree.total, tree.minimum)
    if tree.total:
        masses = rng.random(50) * tree.total
        found = tree.find(masses)
        np.testing.assert_array_equal(restored.find(masses), found)
        assert (tree.get(found) > 0).all()
