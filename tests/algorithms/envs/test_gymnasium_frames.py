"""Gymnasium environments as frames, and Catch."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms.envs import Catch, GymnasiumFrames
from arcadia.errors import UserError


class Scripted(gym.Env):
    """Ends after `length` steps; observes the step number in a space of the test's choice."""

    def __init__(self, observation_space: gym.Space, actions: gym.Space, length: int = 3) -> None:
        self.observation_space, self.action_space, self.length = observation_space, actions, length

    def _observe(self) -> Any:
        if isinstance(self.observation_space, gym.spaces.Discrete):
            return self.t
        shape, dtype = self.observation_space.shape, self.observation_space.dtype
        return np.full(shape, self.t, dtype)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any):
        self.t += 1
        return self._observe(), 10.0 * self.t, self.t == self.length, False, {}


def frames_of(space: gym.Space, actions: gym.Space | None = None, n: int = 2) -> GymnasiumFrames:
    actions = actions or gym.spaces.Discrete(2)
    return GymnasiumFrames(lambda i: Scripted(space, actions), n, name="Scripted")


BYTES = {"low": 0, "high": 255, "dtype": np.uint8}


@pytest.mark.parametrize(
    ("space", "shape", "dtype", "stacks"),
    [
        (gym.spaces.Box(-1, 1, (4,)), (4,), np.float32, False),
        (gym.spaces.Box(-1, 1, (2, 3), np.float64), (6,), np.float32, False),
        (gym.spaces.Box(shape=(84, 84), **BYTES), (84, 84), np.uint8, True),
        (gym.spaces.Box(shape=(64, 48, 3), **BYTES), (3, 64, 48), np.uint8, True),
        (gym.spaces.Box(shape=(10,), **BYTES), (10,), np.float32, False),
        (gym.spaces.Discrete(16), (16,), np.float32, False),
    ],
)
def test_observations_become_frames(space, shape, dtype, stacks):
    frames = frames_of(space)
    first = frames.reset(np.array([0, 1]))
    assert (frames.frame_shape, frames.frame_dtype, frames.stacks) == (shape, dtype, stacks)
    assert first.shape == (2, *shape)
    assert first.dtype == dtype


def test_a_discrete_observation_is_one_hot():
    frames = frames_of(gym.spaces.Discrete(5))
    frames.reset(np.array([0, 1]))
    frames.send(np.zeros(2, np.int64))
    np.testing.assert_array_equal(frames.recv().frame, np.eye(5, dtype="f4")[[1, 1]])


def test_the_final_frame_is_seen_and_a_reset_starts_anew():
    frames = frames_of(gym.spaces.Box(0, 9, (1,)))
    frames.reset(np.array([0, 1]))
    seen = []
    for _ in range(4):
        frames.send(np.ones(2, np.int64))
        step = frames.recv()
        seen.append((step.frame[0, 0], step.reward[0], step.terminated[0]))
        if step.terminated.any():
            first = frames.reset(np.array([3]), np.array([True, False]))
            assert first.tolist() == [[0]]
            assert frames.reset(np.array([4]), np.array([False, True])).tolist() == [[0]]
    assert seen == [(1, 10, 0), (2, 20, 0), (3, 30, 1), (1, 10, 0)]


def test_actions_that_do_not_start_at_zero_are_shifted():
    env = frames_of(gym.spaces.Box(0, 9, (1,)), gym.spaces.Discrete(3, start=-1))
    env.reset(np.array([0, 1]))
    env.send(np.zeros(2, np.int64))
    assert env._actions is not None
    assert env._actions.tolist() == [-1, -1]
    assert env.action_names == ("-1", "0", "1")


@pytest.mark.parametrize(
    ("space", "actions", "words"),
    [
        (gym.spaces.Box(0, 1, (3,)), gym.spaces.Box(-1, 1, (1,)), "needs Discrete actions"),
        (gym.spaces.Dict({"a": gym.spaces.Discrete(2)}), None, "FlattenObservation"),
        (gym.spaces.Box(shape=(210, 160, 3), **BYTES), None, 'such as game="pong"'),
    ],
)
def test_spaces_that_cannot_be_used_are_refused_by_name(space, actions, words):
    with pytest.raises(UserError, match=words) as caught:
        frames_of(space, actions)
    assert 'env "Scripted"' in str(caught.value)


def test_catch_can_always_be_caught_and_missed():
    env = Catch(grid=7)
    for seed in range(20):
        for chase, expected in ((1, 1.0), (-1, -1.0)):
            picture, _ = env.reset(seed=seed)
            assert picture.shape == (84, 84)
            column, paddle, total, ended, steps = env._ball[1], env._paddle, 0.0, False, 0
            while not ended:
                towards = np.sign(column - paddle) if chase == 1 else (1 if column < 3 else -1)
                _, reward, ended, _, _ = env.step(np.int64(1 + towards))
                paddle, total, steps = env._paddle, total + float(reward), steps + 1
            assert (total, steps) == (expected, 6)


def test_catch_shows_ball_and_paddle():
    env = Catch(grid=12)
    picture, _ = env.reset(seed=0)
    assert (picture == 255).sum() == 2 * 7 * 7
    assert (env.render()[:, :, 0] == picture).all()
    with pytest.raises(ValueError, match="must divide 84"):
        Catch(grid=10)
