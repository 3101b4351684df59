"""h-DQN and Q-learning with tables, on the chain: Kulkarni et al. 2016, section 4.1.

Two levels of values as in the paper's equations 1 and 2: the meta-controller's Q2(s, g) of goals,
the controller's Q1(s, a; g) of actions, each learnt from its own reward. The goals are the states.
A goal is judged by the step taken: the state in which it is chosen does not reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.envs.chain import NUM_STATES, Chain
from arcadia.errors import UserError

_LEFT_RIGHT = 2
_BLOCK = 1 << 14  # random numbers drawn at a time


@dataclass(frozen=True, kw_only=True)
class TabularOptions:
    """Options of tabular h-DQN and of the Q-learning beside it."""

    episodes: int = 200_000
    """Episodes of each seed. At the paper's learning rate h-DQN climbs late, from 100,000 on."""
    num_seeds: int = 10
    """Runs of each, `seed` and those that follow it (the paper: ten)."""
    lr: float = 2.5e-4
    """Learning rate of all tables (the paper's)."""
    gamma: float = 0.99
    """Discount a step of the controller and of Q-learning, a goal of the meta-controller (0 to 1).
    Not in the paper for this experiment."""
    intrinsic_reward: float = 1.0
    """What the controller gets for a goal that it reaches."""
    epsilon_start: float = 1.0
    """Chance of a random action, and of a random goal, at the start (0 to 1)."""
    epsilon_end: float = 0.1
    """The same from epsilon_decay_steps on: the floor."""
    epsilon_decay_steps: int = 50_000
    """Steps over which it falls, by equal amounts."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("episodes", 1, 10**9),
            ("num_seeds", 1, 10_000),
            ("lr", 1e-9, 1),
            ("gamma", 0, 1),
            ("intrinsic_reward", 0, 1e6),
            ("epsilon_start", 0, 1),
            ("epsilon_end", 0, 1),
            ("epsilon_decay_steps", 0, 10**9),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} {value}: must be between {low:g} and {high:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """What one seed came to."""

    reward: np.ndarray
    """(episodes,) float64, the environment's own reward of each episode."""
    visits: np.ndarray
    """(episodes, 6) uint16, how often each state was stepped into in each episode."""
    values: np.ndarray
    """Of h-DQN Q2, (6, 6) float64, states by goals; of Q-learning Q, (6, 2), states by actions."""
    action_values: np.ndarray
    """Q1, (6, 6, 2) float64, goals by states by actions; of Q-learning (0, 6, 2)."""


def learn_hierarchically(options: TabularOptions, seed: int) -> Learnt:
    """Learns both levels of h-DQN.

    Args:
        options: Of the learning.
        seed: Of all random numbers.
    """
    lr, gamma, paid = options.lr, options.gamma, options.intrinsic_reward
    rewards, visits = _room(options)
    q2 = [[0.0] * NUM_STATES for _ in range(NUM_STATES)]  # [state][goal]
    q1 = [[[0.0] * _LEFT_RIGHT for _ in range(NUM_STATES)] for _ in range(NUM_STATES)]  # [goal]
    chain, draw, epsilon, step = Chain(), _uniform(seed), options.epsilon_start, 0
    decay = _decay(options)
    for episode in range(options.episodes):
        state, counts = chain.reset(), visits[episode]
        while state:
            values = q2[state]
            goal = int(draw() * NUM_STATES) if draw() < epsilon else values.index(max(values))
            of_goal, extrinsic = q1[goal], 0.0
            while True:
                own = of_goal[state]
                action = int(draw() * _LEFT_RIGHT) if draw() < epsilon else int(own[1] > own[0])
                state = chain.step(action, draw())
                counts[state] += 1
                step += 1
                epsilon = decay(step)
                target = paid if state == goal else 0.0
                if state == 0:
                    extrinsic = chain.final_reward
                elif state != goal:
                    target = gamma * max(of_goal[state])
                own[action] += lr * (target - own[action])
                if state in (0, goal):
                    break
            bootstrap = gamma * max(q2[state]) if state else 0.0
            values[goal] += lr * (extrinsic + bootstrap - values[goal])
        rewards[episode] = chain.final_reward
    return Learnt(
        reward=np.array(rewards),
        visits=np.array(visits, np.uint16),
        values=np.array(q2),
        action_values=np.array(q1),
    )


def learn_flat(options: TabularOptions, seed: int) -> Learnt:
    """Q-learning (Watkins 1989) with the same options, without goals; as `learn_hierarchically`."""
    lr, gamma = options.lr, options.gamma
    rewards, visits = _room(options)
    q = [[0.0] * _LEFT_RIGHT for _ in range(NUM_STATES)]
    chain, draw, epsilon, step = Chain(), _uniform(seed), options.epsilon_start, 0
    decay = _decay(options)
    for episode in range(options.episodes):
        state, counts = chain.reset(), visits[episode]
        while state:
            own = q[state]
            action = int(draw() * _LEFT_RIGHT) if draw() < epsilon else int(own[1] > own[0])
            state = chain.step(action, draw())
            counts[state] += 1
            step += 1
            epsilon = decay(step)
            target = gamma * max(q[state]) if state else chain.final_reward
            own[action] += lr * (target - own[action])
        rewards[episode] = chain.final_reward
    return Learnt(
        reward=np.array(rewards),
        visits=np.array(visits, np.uint16),
        values=np.array(q),
        action_values=np.zeros((0, NUM_STATES, _LEFT_RIGHT)),
    )


LEARNERS = {"h-DQN": learn_hierarchically, "Q-learning": learn_flat}
"""By name, what can be compared."""


def _room(options: TabularOptions) -> tuple[list[float], list[list[int]]]:
    return [0.0] * options.episodes, [[0] * NUM_STATES for _ in range(options.episodes)]


def _decay(options: TabularOptions) -> Callable[[int], float]:
    start, end, steps = options.epsilon_start, options.epsilon_end, options.epsilon_decay_steps

    def epsilon(step: int) -> float:
        return end if step >= steps else start + (end - start) * step / steps

    return epsilon


def _uniform(seed: int) -> Callable[[], float]:
    """Draws numbers from 0 to 1, one at a time, for a tenth of what asking numpy for each costs."""
    rng = np.random.default_rng(seed)

    def blocks() -> Iterator[float]:
        while True:
            yield from rng.random(_BLOCK).tolist()

    return blocks().__next__
