"""A policy outside Ray: loading, predicting, its environment, and files that are none."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from algorithms.dqn import DQNConfig, load_policy
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.policy import POLICY_FILE, Policy, write_policy
from algorithms.dqn.presets import preset
from algorithms.dqn.q_network import QNetwork
from arcadia.errors import UserError


def make_policy(folder: Path, shape: tuple[int, ...], actions: gym.spaces.Discrete, **options):
    """A new network's policy, written and loaded."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    arguments = {"observation_shape": list(shape), "num_actions": int(actions.n), "dueling": True}
    network = QNetwork(**arguments)
    torch.nn.init.normal_(network.advantage[-1].weight)
    write_policy(
        folder,
        network,
        preset("fast", **options),
        arguments=arguments,
        action_space=actions,
        step=7,
    )
    return network, load_policy(folder, seed=0)


def test_a_policy_predicts_alone_and_in_batches(tmp_path):
    network, policy = make_policy(tmp_path, (4, 84, 84), gym.spaces.Discrete(6), game="pong")
    frames = np.random.default_rng(0).integers(256, size=(5, 4, 84, 84), dtype=np.uint8)
    values = policy.q_values(frames)
    torch.testing.assert_close(torch.from_numpy(values), network(torch.from_numpy(frames)).detach())
    actions = policy.predict(frames)
    assert actions.tolist() == values.argmax(axis=1).tolist()
    assert policy.predict(frames[2]) == actions[2]
    assert policy.q_values(frames[2]).shape == (6,)
    assert (policy.options.game, policy.step) == ("pong", 7)


def test_actions_are_the_environments_own_and_random_ones_come_at_epsilon(tmp_path):
    space = gym.spaces.Discrete(3, start=-1)
    _, policy = make_policy(tmp_path, (1, 4), space, env="CartPole-v1", epsilon_eval=0.3)
    states = np.tile(np.arange(4.0), (3_000, 1))
    greedy = policy.predict(states[0])
    assert policy.predict(states).tolist() == [greedy] * 3_000
    chosen = policy.predict(states, deterministic=False)
    assert set(chosen.tolist()) == {-1, 0, 1}
    assert np.mean(chosen != greedy) == pytest.approx(0.2, abs=0.03)  # a third hits the greedy one
    again = load_policy(tmp_path, seed=0)
    assert (again.predict(states, deterministic=False) == chosen).all()


def test_a_misshapen_observation_is_refused(tmp_path):
    _, policy = make_policy(tmp_path, (4, 84, 84), gym.spaces.Discrete(6), game="pong")
    with pytest.raises(ValueError, match=r"shape \(210, 160, 3\): needs \(4, 84, 84\)"):
        policy.predict(np.zeros((210, 160, 3), np.uint8))
    with pytest.raises(ValueError, match="float32: images are uint8"):
        policy.predict(np.zeros((4, 84, 84), np.float32))


@pytest.mark.parametrize(
    ("options", "shape"),
    [({"game": "pong", "max_episode_frames": 400}, (4, 84, 84)), ({"env": "CartPole-v1"}, (4,))],
)
def test_its_environment_shows_what_the_runner_saw(options: dict, shape: tuple, tmp_path):
    from algorithms.dqn.runner import DQNRunner

    config = DQNConfig.preset("fast", num_envs_per_env_runner=1, epsilon_eval=0.0, **options)
    config.in_evaluation = True
    runner = DQNRunner(config=config.debugging(seed=0), worker_index=0)
    write_policy(
        tmp_path,
        runner.module.online,
        config.options,
        arguments=runner.module.arguments,
        action_space=runner.frames.action_space,
        step=0,
    )
    policy = load_policy(tmp_path)
    env = policy.make_env()
    observation, _ = env.reset(seed=11)
    runner.reset(np.array([11]))
    assert env.observation_space.contains(observation)
    assert observation.shape == policy.observation_shape == shape
    total = 0.0
    for _ in range(130):
        np.testing.assert_array_equal(observation, runner.stacks.observation[0].reshape(shape))
        action = policy.predict(observation)
        assert action == runner.start_step()[0]
        ended = runner.finish_step()
        observation, reward, terminated, truncated, _ = env.step(action)
        total += reward
        assert (terminated or truncated) == bool(ended)
        if ended:
            assert ended[0].return_ == total
            break
    env.close()
    runner.stop()


def test_what_gymnasium_does_not_know_must_be_given(tmp_path):
    _, policy = make_policy(tmp_path, (1, 4), gym.spaces.Discrete(2), env="mine")
    with pytest.raises(UserError, match="give the environment: make_env"):
        policy.make_env()
    observation, _ = policy.make_env(gym.make("CartPole-v1")).reset(seed=1)
    assert policy.predict(observation) in (0, 1)


def test_nothing_of_ray_is_imported(tmp_path):
    make_policy(tmp_path, (4, 84, 84), gym.spaces.Discrete(6), game="pong")
    program = (
        "import sys; from algorithms.dqn import load_policy\n"
        f"policy = load_policy({str(tmp_path)!r}); env = policy.make_env()\n"
        "observation, _ = env.reset(seed=1)\n"
        "for _ in range(5): observation = env.step(policy.predict(observation))[0]\n"
        "assert 'ray' not in sys.modules; print(observation.shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(4, 84, 84)\n", done.stderr


def test_files_that_are_no_policy_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_policy(tmp_path / "nowhere")
    network = QNetwork((1, 4), 2)
    file = tmp_path / POLICY_FILE
    file.write_bytes(b"not ours")
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(tmp_path)
    save_file(network.state_dict(), file)
    with pytest.raises(UserError, match="holds no policy of DQN, or one of another version"):
        load_policy(tmp_path)
    arguments = {"observation_shape": [1, 5], "num_actions": 2}  # not those of the network
    space = gym.spaces.Discrete(2)
    options = DQNOptions(env="CartPole-v1")
    write_policy(tmp_path, network, options, arguments=arguments, action_space=space, step=0)
    with pytest.raises(UserError, match="damaged"):
        load_policy(tmp_path)
    write_policy(
        tmp_path,
        network,
        options,
        arguments=arguments | {"observation_shape": [1, 4]},
        action_space=space,
        step=0,
    )
    assert isinstance(load_policy(tmp_path), Policy)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(tmp_path)
