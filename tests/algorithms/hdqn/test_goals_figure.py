"""The figure of goals, from histories written by hand."""

import numpy as np
import pytest

from algorithms.hdqn.goals_figure import GoalHistory, chosen_shares, goals_figure
from arcadia.media.images import read_image

KEYS = ("tried", "reached", "success_rate", "epsilon")


def history(tried: list[list[int]], every: int = 100) -> GoalHistory:
    counts = np.array(tried)
    return GoalHistory(
        names=[f"goal {i}" for i in range(len(counts))],
        frames=every * np.arange(1, counts.shape[1] + 1),
        tried=counts,
        reached=counts // 2,
        success_rate=np.full(counts.shape, 0.5),
        epsilon=np.full(counts.shape, 0.5),
    )


def test_shares_are_of_the_tries_that_ended_in_each_stretch():
    edges, shares = chosen_shares(history([[2, 2, 2, 5], [2, 8, 8, 6 + 3]]))
    assert edges.tolist() == [0, 100, 200, 300, 400]
    nan = np.nan  # nothing ended there
    np.testing.assert_allclose(shares, [[0.5, 0, nan, 0.75], [0.5, 1, nan, 0.25]])


def test_a_long_history_is_told_in_forty_stretches_that_leave_nothing_out():
    tried = np.random.default_rng(0).integers(0, 5, (3, 333)).cumsum(axis=1)
    own = history(tried.tolist())
    edges, shares = chosen_shares(own)
    assert len(edges) == 41 and (edges[0], edges[-1]) == (0, 33_300)
    assert shares.sum(axis=0) == pytest.approx(1)
    totals = np.interp(edges, np.append(0, own.frames), np.append(0, tried.sum(axis=0)))
    np.testing.assert_allclose((shares * np.diff(totals)).sum(axis=1), tried[:, -1])


def test_scalars_make_a_history_up_to_the_last_moment_that_is_whole():
    steps = np.array([100, 200, 300])
    scalars = {
        f"goal/{name}/{key}": (steps, np.array([1.0, 2.0, 3.0]) + i)
        for name in ("a", "b/c")
        for i, key in enumerate(KEYS)
    }
    scalars["goal/a/epsilon"] = (steps[:2], np.array([4.0, 5.0]))  # killed while it wrote
    own = GoalHistory.of(scalars | {"learner/loss": (steps, steps)}, order=["b/c", "a"])
    assert own is not None
    assert own.names == ["b/c", "a"]
    assert own.frames.tolist() == [100, 200]
    assert own.tried.tolist() == [[1, 2], [1, 2]]
    assert own.epsilon.tolist() == [[4, 5], [4, 5]]
    assert GoalHistory.of({"learner/loss": (steps, steps)}) is None
    del scalars["goal/a/epsilon"]
    assert GoalHistory.of(scalars) is None


def test_the_phases_and_more_goals_than_colours_are_drawn(tmp_path):
    tried = np.random.default_rng(0).integers(0, 5, (12, 20)).cumsum(axis=1)
    own = history(tried.tolist())
    for name, end in (("whole", 10_000), ("half", 1_000)):
        (tmp_path / f"{name}.png").write_bytes(goals_figure(own, end, "frames", "h-DQN"))
    whole, half = (read_image(tmp_path / f"{name}.png") for name in ("whole", "half"))
    assert whole.shape != half.shape or (whole != half).any()
    grey = (np.abs(half.astype(int) - (0xB1, 0xBA, 0xC4)).max(axis=2) <= 2).sum()
    assert grey > 1_000  # of the three that share the last colour
