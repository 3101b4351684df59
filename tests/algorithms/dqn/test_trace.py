"""Open episodes are played again to where a state was taken; what cannot be is cut there."""

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ray.tune.registry import register_env

from algorithms.dqn import DQNConfig
from algorithms.dqn.runner import DQNRunner
from algorithms.envs import Catch
from algorithms.replay import RecordFlag
from arcadia.errors import UserError


class Moody(gym.Env):
    """An image that hangs on what no seed controls, in some of the environments."""

    made = 0

    def __init__(self, config: Any = None) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (40, 36), np.uint8)
        self.action_space = gym.spaces.Discrete(2)
        self.is_moody, self.mood, Moody.made = config.vector_index == 1, Moody.made, Moody.made + 1

    def _observe(self) -> np.ndarray:
        return np.full((40, 36), self.t + self.is_moody * 10 * self.mood, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any):
        self.t += 1
        return self._observe(), 1.0, self.t == 30, False, {}


register_env("Moody", Moody)
register_env("TraceCatch", lambda config: Catch())


def runner(num_envs: int = 3, seed: int = 0, **options: Any) -> DQNRunner:
    config = DQNConfig.preset("fast", num_envs_per_env_runner=num_envs, **options)
    return DQNRunner(config=config.debugging(seed=seed), worker_index=0)


def steps(one: DQNRunner, count: int):
    ended = []
    for _ in range(count):
        one.start_step(epsilon=1.0)
        ended += one.finish_step()
    return one.take_fragment(), ended


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"game": "pong"}, 60),
        ({"game": "breakout", "sticky_actions": 0.25}, 300),  # some games have ended and begun
        ({"env": "TraceCatch"}, 29),
        ({"env": "CartPole-v1"}, 45),
        ({"env": "CartPole-v1"}, 0),
    ],
)
def test_a_restored_runner_goes_on_as_the_straight_one(options: dict, count: int):
    straight = runner(**options)
    if count:
        steps(straight, count)
    restored = runner(seed=1, **options)
    steps(restored, 7)  # what it did before counts for nothing
    restored.set_state(straight.get_state())
    (a, ended_a), (b, ended_b) = steps(straight, 120), steps(restored, 120)
    for name in ("stream", "sequence", "frames", "sizes", "action", "reward", "flags"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    assert ended_a == ended_b
    np.testing.assert_array_equal(straight.stacks.observation, restored.stacks.observation)


def test_a_state_taken_where_an_episode_is_over():
    straight = runner(2, env="CartPole-v1")
    while not straight._trace.is_over.any():
        steps(straight, 1)
    restored = runner(2, env="CartPole-v1")
    restored.set_state(straight.get_state())
    (a, _), (b, _) = steps(straight, 30), steps(restored, 30)
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.flags, b.flags)


def test_long_episodes_keep_all_their_actions():
    straight = runner(1, env="Walk1500")
    steps(straight, 1_300)
    restored = runner(1, env="Walk1500")
    restored.set_state(straight.get_state())
    np.testing.assert_array_equal(steps(straight, 5)[0].frames, steps(restored, 5)[0].frames)


class Walk(gym.Env):
    """A random walk that the actions push, 1,500 steps long."""

    def __init__(self, config: Any = None) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
        self.action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.t, self.x = 0, 0.0
        return np.array([self.x], np.float32), {}

    def step(self, action: Any):
        self.t, self.x = self.t + 1, self.x + float(self.np_random.normal()) + int(action)
        return np.array([self.x], np.float32), self.x, self.t == 1_500, False, {}


register_env("Walk1500", Walk)


def test_an_episode_that_cannot_be_repeated_is_cut_where_it_was(
    caplog: pytest.LogCaptureFixture,
):
    straight = runner(2, env="Moody")
    fragment, _ = steps(straight, 12)
    numbers = fragment.sequence[fragment.stream == 1]
    newest = straight.stacks.newest[1].copy()
    restored = runner(2, env="Moody")
    with caplog.at_level(logging.WARNING):
        restored.set_state(straight.get_state())
    assert "1 of 2 open episodes could not be played again" in caplog.text
    first, ended = steps(restored, 1)
    mine = first.stream == 1
    final, start = RecordFlag.FINAL, RecordFlag.FIRST
    assert [RecordFlag(int(f)) for f in first.flags[mine]] == [final, start]
    assert first.sequence[mine].tolist() == [numbers[-1] + 1, numbers[-1] + 2]
    decoded = np.empty((40, 36), np.uint8)
    offset = int(first.sizes[: np.flatnonzero(mine)[0]].sum())
    size = int(first.sizes[mine][0])
    restored.recorder.codec.decode_into(bytes(first.frames[offset : offset + size]), decoded)
    np.testing.assert_array_equal(decoded, newest)
    # The other goes on in mid-episode, and only its whole score is counted.
    other = first.stream == 0
    assert first.flags[other].tolist() == [0]
    _, ended = steps(restored, 40)
    assert [(e.env_index, e.return_, e.length) for e in ended][:2] == [(0, 30, 30), (1, 30, 30)]


def test_another_number_of_environments_is_refused():
    straight = runner(2, env="CartPole-v1")
    steps(straight, 3)
    with pytest.raises(UserError, match="num_envs_per_env_runner 3: the checkpoint has 2 open"):
        runner(3, env="CartPole-v1").set_state(straight.get_state())
