"""The six-state chain follows the paper's rules."""

import numpy as np
from gymnasium.utils.env_checker import check_env

from algorithms.envs.chain import NUM_STATES, START, Chain, ChainEnv

LUCK, BAD_LUCK = 0.4999, 0.5


def test_right_needs_luck_and_left_does_not():
    chain = Chain()
    assert chain.state == START == 1
    assert chain.step(1, LUCK) == 2
    assert chain.step(1, BAD_LUCK) == 1
    assert chain.step(1, LUCK) == 2
    assert chain.step(0, LUCK) == 1
    assert chain.step(0, BAD_LUCK) == 0
    assert chain.final_reward == 0.01


def test_the_end_pays_for_having_been_far():
    chain = Chain()
    states = [chain.step(1, LUCK) for _ in range(4)]
    assert states == [2, 3, 4, 5]
    assert chain.step(1, LUCK) == 4  # there is nothing to the right
    assert [chain.step(0, LUCK) for _ in range(4)] == [3, 2, 1, 0]
    assert chain.final_reward == 1.0
    chain.reset()
    chain.step(0, LUCK)
    assert chain.final_reward == 0.01


def test_always_right_earns_what_the_gambler_does():
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(20_000):
        chain = Chain()
        while chain.step(1, rng.random()):
            pass
        rewards.append(chain.final_reward)
    assert abs(np.mean(rewards) - 0.208) < 4 * np.std(rewards) / np.sqrt(len(rewards))


def test_it_is_a_gymnasium_environment():
    env = ChainEnv()
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=3)
    assert observation.tolist() == [0, 1, 0, 0, 0, 0]
    observation, reward, terminated, truncated, _ = env.step(np.int64(0))
    assert observation.tolist() == [1, 0, 0, 0, 0, 0]
    assert (reward, terminated, truncated) == (0.01, True, False)
    assert env.observation_space.shape == (NUM_STATES,)
