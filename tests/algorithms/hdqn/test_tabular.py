"""Tabular h-DQN and Q-learning: their values where those are known, and what they earn."""

import numpy as np
import pytest

from algorithms.hdqn.tabular import (
    LEARNERS,
    TabularOptions,
    learn_flat,
    learn_hierarchically,
)
from arcadia.errors import UserError

S1, S2, S3, S4, S5, S6 = range(6)
LEFT, RIGHT = 0, 1
FAST = TabularOptions(episodes=30_000, lr=0.01, epsilon_decay_steps=20_000)


@pytest.fixture(scope="module")
def hierarchical():
    return learn_hierarchically(FAST, seed=1)


def test_the_controller_learns_the_ways_to_goals(hierarchical):
    q1 = hierarchical.action_values
    # "Left" is sure: a neighbour on the left is reached at once, the one beyond a step later.
    np.testing.assert_allclose(q1[S1, S2, LEFT], 1, atol=0.02)
    np.testing.assert_allclose(q1[S2, S3, LEFT], 1, atol=0.02)
    np.testing.assert_allclose(q1[S1, S3, LEFT], 0.99, atol=0.02)
    # "Right" of s2 reaches s3 with 0.5; else the episode ends in s1, without the goal.
    np.testing.assert_allclose(q1[S3, S2, RIGHT], 0.5, atol=0.15)  # of single tries
    np.testing.assert_allclose(q1[S3, S2, LEFT], 0, atol=1e-9)
    greedy = q1.argmax(axis=2)
    assert (greedy[S6, [S2, S3, S4, S5]] == RIGHT).all()
    assert (greedy[S1, [S2, S3, S4, S5, S6]] == LEFT).all()


def test_the_meta_controller_values_the_far_end(hierarchical):
    q2 = hierarchical.values
    np.testing.assert_allclose(q2[S6, S1], 1, atol=0.02)  # having been far is certain there
    assert q2[S2].argmax() != S1
    assert (q2[S1] == 0).all()  # nothing is chosen where the episode is over


def test_h_dqn_earns_what_q_learning_does_not(hierarchical):
    flat = learn_flat(FAST, seed=1)
    assert 0.10 < hierarchical.reward[-5_000:].mean() < 0.20
    assert flat.reward[-5_000:].mean() < 0.03
    assert hierarchical.visits[-5_000:, S6].mean() > 5 * flat.visits[-5_000:, S6].mean()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_seed_repeats_itself_and_every_step_is_counted(name: str):
    options = TabularOptions(episodes=300, epsilon_decay_steps=500)
    a, b, other = (LEARNERS[name](options, seed) for seed in (3, 3, 4))
    for one, two in zip(
        (a.reward, a.visits, a.values, a.action_values),
        (b.reward, b.visits, b.values, b.action_values),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(a.visits, other.visits)
    assert set(np.unique(a.reward)) <= {0.01, 1.0}
    assert (a.visits[:, S1] == 1).all()  # an episode ends once
    np.testing.assert_array_equal(a.reward == 1, a.visits[:, S6] > 0)


def test_random_play_visits_what_the_walk_does():
    """With epsilon 1 a step goes right with 0.25: of two in a row up, few come to s4."""
    options = TabularOptions(episodes=20_000, epsilon_end=1.0)
    for learn in LEARNERS.values():
        visited = (learn(options, 0).visits > 0).mean(axis=0)
        # The gambler's ruin with odds of 3 against 1: s2 is at 1 of 2, 3, 4 and 5.
        expected = [(1 - 3) / (1 - 3**n) for n in (2, 3, 4, 5)]
        np.testing.assert_allclose(visited[[S3, S4, S5, S6]], expected, atol=0.012)


def test_no_reward_for_goals_leaves_the_controller_at_nothing():
    learnt = learn_hierarchically(TabularOptions(episodes=500, intrinsic_reward=0.0), seed=0)
    assert (learnt.action_values == 0).all()


@pytest.mark.parametrize(
    ("name", "value"), [("lr", 0), ("episodes", 0), ("epsilon_end", 1.5), ("gamma", -0.1)]
)
def test_bad_values_are_refused(name: str, value: float):
    with pytest.raises(UserError, match=f"{name} {value}: must be between"):
        TabularOptions(**{name: value})


@pytest.mark.slow
def test_the_papers_figure_is_reached():
    """Ten seeds at the paper's learning rate: 0.10 to 0.18, and 0.01 of Q-learning."""
    options = TabularOptions()
    means = {
        name: np.mean([learn(options, seed).reward[-1_000:].mean() for seed in range(10)])
        for name, learn in LEARNERS.items()
    }
    assert 0.10 <= means["h-DQN"] <= 0.18
    assert means["Q-learning"] <= 0.03
