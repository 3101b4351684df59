"""The gridworld with key and door, and its goals: the worked example."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from algorithms.envs.key_door import KeyDoor
from algorithms.envs.vector import Moment
from algorithms.hdqn.critic import Critic, CriticOptions
from algorithms.hdqn.goals import check_goals
from algorithms.hdqn.key_door import KeyDoorGoals

UP, DOWN, LEFT, RIGHT = map(np.int64, range(4))
SMALL = ("#####", "#KSD#", "#####")
TO_KEY = [DOWN] * 2 + [LEFT] * 2 + [LEFT] * 5 + [UP] * 4
KEY_TO_DOOR = [DOWN] * 4 + [RIGHT] * 9 + [DOWN] + [RIGHT] * 5 + [UP] * 5 + [RIGHT]


def test_it_is_a_gymnasium_environment():
    env = KeyDoor(render_mode="rgb_array")
    check_env(env)
    env.reset()
    assert env.render().shape == (8 * 24, 17 * 24, 3)


def test_the_door_opens_with_the_key_only():
    env = KeyDoor(layout=SMALL)
    observation, info = env.reset()
    assert info == {"agent": (1, 2), "has_key": False}
    assert observation.nonzero()[0].tolist() == [7]
    _, reward, won, cut, info = env.step(RIGHT)
    assert (reward, won, cut, info["agent"]) == (0.0, False, False, (1, 2))
    observation, *_, info = env.step(LEFT)
    assert info == {"agent": (1, 1), "has_key": True}
    assert observation.nonzero()[0].tolist() == [6, 15]
    env.step(RIGHT)
    _, reward, won, cut, _ = env.step(RIGHT)
    assert (reward, won, cut) == (1.0, True, False)


def test_walls_hold_and_episodes_are_cut():
    env = KeyDoor(layout=SMALL, max_steps=2)
    env.reset()
    assert env.step(UP)[4]["agent"] == (1, 2)
    assert env.step(DOWN)[2:4] == (False, True)


@pytest.mark.parametrize(
    ("layout", "message"),
    [(("####", "#KS#", "####"), "has no D"), (("###", "#"), "different lengths")],
)
def test_layouts_that_cannot_be_played_are_refused(layout, message):
    with pytest.raises(ValueError, match=message):
        KeyDoor(layout=layout)


def test_every_goal_is_reached_on_the_way_and_only_there():
    env, goals = KeyDoor(), KeyDoorGoals()
    check_goals(goals, env.observation_space.shape, is_picture=False)  # type: ignore[arg-type]
    critic = Critic(goals, CriticOptions())
    observation, info = env.reset()
    before, reached, won = Moment(observation=observation, info=info), [], False
    for action in TO_KEY + KEY_TO_DOOR:
        assert not won
        observation, reward, won, _, info = env.step(action)
        after = Moment(observation=observation, info=info)
        for goal, name in enumerate(goals.names):
            judged = critic.judge(before, after, goal)
            assert judged.reward == judged.reached
            if judged.reached:
                reached.append(name)
        before = after
    assert won and reward == 1.0
    assert reached == ["left gap", "key", "left gap", "right gap", "door", "door"]


def test_random_play_hardly_ever_wins():
    env, rng, won = KeyDoor(), np.random.default_rng(0), 0
    for _ in range(300):
        env.reset()
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(rng.integers(4))
            won += reward > 0
            over = terminated or truncated
    assert won <= 3
