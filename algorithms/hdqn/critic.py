"""The critic: judges whether goals are reached, and pays the controller for it.

Kulkarni et al. 2016, section 3: "The internal critic is defined in the space of (entity1, relation,
entity2)", in the paper always: the agent reaches an object.

What is decided where the paper is silent, each tested:

- A goal is judged by a step. One that is chosen where it already holds is not reached by that; the
  step after may reach it, if the goal space says so.
- A step that ends the episode reaches its goal like any other: the end may be the goal itself.
- A step on which the agent dies reaches nothing, and pays the penalty of a death: where the agent
  is put back to says nothing of where its actions led.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from algorithms.envs.vector import Moment
from algorithms.hdqn.goals import GoalSpace
from arcadia.errors import UserError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class CriticOptions:
    """What the controller is paid. The defaults are the paper's; `AUTHORS` are their code's."""

    intrinsic_reward: float = 1.0
    """For reaching the goal."""
    step_cost: float = 0.0
    """Taken at every step, at least 0."""
    death_penalty: float = 0.0
    """Taken where the agent dies, at least 0."""

    def __post_init__(self) -> None:
        for name in ("intrinsic_reward", "step_cost", "death_penalty"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise UserError(f"{name} {value}: must be a finite number of at least 0")


AUTHORS = CriticOptions(intrinsic_reward=50.0, step_cost=0.1, death_penalty=200.0)
"""The values of the authors' code (mrkulk/hierarchical-deep-RL)."""


class Judgement(NamedTuple):
    """What a step came to in the eyes of the critic."""

    reached: bool
    reward: float


class Critic:
    """Judges steps.

    Args:
        goals: Of the environment.
        options: What is paid.
    """

    def __init__(self, goals: GoalSpace, options: CriticOptions) -> None:
        self.goals, self.options = goals, options

    def judge(self, before: Moment, after: Moment, goal: int, *, died: bool = False) -> Judgement:
        """Judges a step towards a goal.

        Args:
            before: What there was before the step.
            after: And after it.
            goal: What was pursued.
            died: Whether the agent died on it (a life was lost).
        """
        options = self.options
        reached = not died and bool(self.goals.reached(before, after, goal))
        reward = options.intrinsic_reward * reached - options.step_cost
        return Judgement(reached, reward - options.death_penalty * died)


class Predicate(NamedTuple):
    """A goal as a relation between entities: ("agent", "reaches", "key")."""

    subject: str
    relation: str
    object: str

    def __str__(self) -> str:
        """The goal's name: the object, where the agent reaches it; else the whole sentence."""
        if (self.subject, self.relation) == ("agent", "reaches"):
            return self.object
        return " ".join(self)


Entities = Mapping[str, Any]
"""By name, what there is at one time, such as boxes `(x, y, width, height)`."""
Relation = Callable[[Any, Any, Any, Any], bool]
"""Whether a step made a relation hold: of the subject and the object before it, then after it."""


class PredicateGoals(GoalSpace):
    """Goals that are predicates over the entities of an environment.

    Args:
        predicates: The goals.
        entities: Finds the entities at a time; one that is not there then is missing.
        relations: By name.
        inputs: What `inputs` returns.

    Raises:
        UserError: A predicate has a relation that is not given.
    """

    def __init__(
        self,
        predicates: Sequence[Predicate | tuple[str, str, str]],
        entities: Callable[[Moment], Entities],
        relations: Mapping[str, Relation],
        inputs: np.ndarray,
    ) -> None:
        self.predicates = tuple(Predicate(*predicate) for predicate in predicates)
        for predicate in self.predicates:
            if predicate.relation not in relations:
                near = did_you_mean(predicate.relation, relations)
                raise UserError(f'relation "{predicate.relation}": is not given{near}')
        self.names = tuple(map(str, self.predicates))
        self._entities, self._relations, self._inputs = entities, relations, inputs

    def inputs(self) -> np.ndarray:
        """As given."""
        return self._inputs

    def reached(self, before: Moment, after: Moment, goal: int) -> bool:
        """Whether the step made the predicate hold.

        An object that was there before the step and is not after it (a key that was taken) is where
        it was; of what was not there before, nothing holds.
        """
        subject, relation, object_ = self.predicates[goal]
        then, now = self._entities(before), self._entities(after)
        if subject not in then or subject not in now or object_ not in then:
            return False
        objects = then[object_], now.get(object_, then[object_])
        return self._relations[relation](then[subject], objects[0], now[subject], objects[1])
