"""What the critic decides, and which goals it refuses."""

import numpy as np
import pytest

from algorithms.envs.vector import Moment
from algorithms.hdqn.critic import (
    AUTHORS,
    Critic,
    CriticOptions,
    Predicate,
    PredicateGoals,
)
from algorithms.hdqn.goals import GoalSpace, check_goals
from algorithms.hdqn.statistics import WINDOW, GoalStatistics, Outcome, goal_epsilon
from arcadia.errors import UserError


class Places(GoalSpace):
    """On a line; a goal is a place to come to."""

    names = ("start", "end")

    def inputs(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)

    def reached(self, before: Moment, after: Moment, goal: int) -> bool:
        place = (0, 9)[goal]
        return after.observation[0] == place != before.observation[0]


def at(place: float, **info: object) -> Moment:
    return Moment(observation=np.array([place], np.float32), info=info)


def test_reaching_is_paid_and_walking_may_cost():
    critic = Critic(Places(), CriticOptions())
    assert critic.judge(at(8), at(9), 1) == (True, 1.0)
    assert critic.judge(at(8), at(7), 1) == (False, 0.0)
    assert critic.judge(at(8), at(9), 0) == (False, 0.0)
    theirs = Critic(Places(), AUTHORS)
    assert theirs.judge(at(8), at(9), 1) == (True, pytest.approx(49.9))
    assert theirs.judge(at(8), at(7), 1) == (False, pytest.approx(-0.1))


def test_a_goal_that_holds_already_is_not_reached_by_choosing_it():
    critic = Critic(Places(), CriticOptions())
    assert critic.judge(at(9), at(9), 1) == (False, 0.0)
    assert critic.judge(at(9), at(8), 1) == (False, 0.0)


def test_a_step_of_death_reaches_nothing_and_is_paid_for():
    critic = Critic(Places(), AUTHORS)
    assert critic.judge(at(1), at(0), 0, died=True) == (False, pytest.approx(-200.1))
    assert critic.judge(at(1), at(0), 0) == (True, pytest.approx(49.9))


@pytest.mark.parametrize("name", ["intrinsic_reward", "step_cost", "death_penalty"])
def test_what_is_paid_is_never_negative_by_itself(name: str):
    with pytest.raises(UserError, match=f"{name} -1"):
        CriticOptions(**{name: -1})


def meets(a: float, b: float, c: float, d: float) -> bool:
    """Came to be at the same place."""
    return a != b and c == d


def predicates(*given: tuple[str, str, str]) -> PredicateGoals:
    return PredicateGoals(
        given,
        entities=lambda moment: moment.info,
        relations={"reaches": meets, "left of": lambda a, b, c, d: c < d},
        inputs=np.eye(len(given), dtype=np.float32),
    )


def test_predicates_are_goals():
    goals = predicates(("agent", "reaches", "key"), ("skull", "left of", "agent"))
    assert goals.names == ("key", "skull left of agent")
    assert goals.predicates[0] == Predicate("agent", "reaches", "key")
    here, there = at(0, agent=1, key=2, skull=5), at(0, agent=2, key=2, skull=1)
    assert goals.reached(here, there, 0)
    assert not goals.reached(there, there, 0)
    assert goals.reached(here, there, 1)
    assert not goals.reached(there, here, 1)


def test_what_was_taken_is_where_it_was_and_what_was_never_there_is_not_reached():
    goals = predicates(("agent", "reaches", "key"))
    assert goals.reached(at(0, agent=1, key=2), at(0, agent=2), 0)
    assert not goals.reached(at(0, agent=1), at(0, agent=2), 0)
    assert not goals.reached(at(0, agent=1), at(0, agent=2, key=2), 0)
    assert not goals.reached(at(0, key=2), at(0, agent=2, key=2), 0)


def test_an_unknown_relation_is_refused():
    with pytest.raises(UserError, match='relation "reachs": is not given; did you mean "reaches"'):
        predicates(("agent", "reachs", "key"))


class Masks(Places):
    """On a picture."""

    def __init__(self, inputs: np.ndarray, names: tuple[str, ...] = ("start", "end")) -> None:
        self.names, self._inputs = names, inputs

    def inputs(self) -> np.ndarray:
        return self._inputs


def test_goals_that_fit_are_taken():
    masks = np.zeros((2, 84, 84), np.uint8)
    assert check_goals(Masks(masks), (84, 84), is_picture=True) is masks
    assert check_goals(Places(), (3,), is_picture=False).shape == (2, 2)


@pytest.mark.parametrize(
    ("inputs", "names", "is_picture", "message"),
    [
        (np.zeros((2, 80, 84), np.uint8), ("a", "b"), True, r"\(2, 80, 84\); the masks of 2 goals"),
        (np.zeros((3, 84, 84), np.uint8), ("a", "b"), True, "the masks of 2 goals are uint8"),
        (np.zeros((2, 84, 84), bool), ("a", "b"), True, "inputs: bool of shape"),
        (np.zeros((2, 3), np.float64), ("a", "b"), False, "the features of 2 goals are float32"),
        (np.zeros((0, 3), np.float32), (), False, "0 goals; there must be 1 to 255"),
        (np.zeros((2, 3), np.float32), ("a", "a"), False, '"a" is there twice'),
        (
            np.zeros((256, 3), np.float32),
            tuple(map(str, range(256))),
            False,
            "256 goals; there must be 1 to 255",
        ),
    ],
)
def test_goals_that_do_not_fit_are_refused(inputs, names, is_picture, message):
    with pytest.raises(UserError, match=message):
        check_goals(Masks(inputs, names), (84, 84), is_picture=is_picture)


def test_success_rates_are_of_the_latest_tries():
    statistics = GoalStatistics(("a", "b", "c"))
    assert statistics.success_rate.tolist() == [0, 0, 0]
    statistics.add([Outcome(0, True), Outcome(0, False), Outcome(1, True)])
    assert statistics.success_rate.tolist() == [0.5, 1, 0]
    statistics.add([Outcome(0, False)] * WINDOW)
    assert statistics.success_rate.tolist() == [0, 1, 0]
    statistics.add([Outcome(0, True)] * 25)
    assert statistics.success_rate[0] == 0.25
    assert statistics.tried.tolist() == [WINDOW + 27, 1, 0]
    assert statistics.reached.tolist() == [26, 1, 0]
    epsilon = goal_epsilon(statistics.success_rate, 1.0, 0.1)
    assert epsilon.tolist() == [0.75, 0.1, 1.0]
    assert statistics.rows(epsilon)[0] == ["a", WINDOW + 27, 26, 0.25, 0.75]
    assert goal_epsilon(statistics.success_rate, 0.8, 0.1).tolist() == [0.75, 0.1, 0.8]
    assert goal_epsilon(statistics.success_rate, 0.0, 0.1).tolist() == [0.1, 0.1, 0.1]


def test_statistics_are_kept():
    one, two = GoalStatistics(("a", "b")), GoalStatistics(("a", "b"))
    one.add([Outcome(0, True), Outcome(1, False), Outcome(0, False)])
    two.set_state(one.get_state())
    for statistics in (one, two):
        statistics.add([Outcome(0, True)])
    assert two.success_rate.tolist() == one.success_rate.tolist()
    assert two.tried.tolist() == one.tried.tolist()
    with pytest.raises(ValueError, match="goals"):
        GoalStatistics(("a", "c")).set_state(one.get_state())
