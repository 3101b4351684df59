"""Noisy activations in the heads of DQN and h-DQN: noise where they learn, none where they act."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from algorithms.dqn import DQNConfig, DQNOptions
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.q_network import QNetwork
from algorithms.hdqn.algorithm import HDQN
from algorithms.hdqn.config import HDQNConfig
from algorithms.noisy import NoisyHardTanh, Schedule, noisy_parts
from arcadia.errors import UserError
from tests.algorithms.dqn.test_learner import batch

NOISY: dict[str, Any] = dict(
    activation="noisy_hard_tanh",
    noise_variant="nah",
    anneal="30:0.5",
    anneal_updates=100,
    anneal_shape="linear",
)


def learner(**options: Any) -> DQNLearner:
    torch.manual_seed(0)
    config = DQNConfig.preset("fast", env="CartPole-v1", hidden_size=16, **(NOISY | options))
    spaces = {
        DEFAULT_MODULE_ID: (gym.spaces.Box(-1, 1, (1, 4), np.float32), gym.spaces.Discrete(3))
    }
    built = config.debugging(seed=0).build_learner(spaces=spaces)
    assert isinstance(built, DQNLearner)
    return built


def c_of(module: torch.nn.Module) -> set[float]:
    return {round(part.c.item(), 4) for part in noisy_parts(module)}


def test_each_head_has_its_own_activation():
    module = learner().dqn_module
    for network in (module.online, module.target):
        assert len(list(noisy_parts(network))) == 2  # value and advantage
        assert isinstance(network.advantage[1], NoisyHardTanh)
        assert network.advantage[1].half_normal
    assert isinstance(
        learner(activation="tanh", anneal=None, anneal_updates=None).dqn_module.online.advantage[1],
        torch.nn.Tanh,
    )


def test_noise_where_it_learns_none_where_it_acts():
    module = learner().dqn_module
    with torch.no_grad():
        for head in (module.online.advantage, module.online.value):
            head[0].weight.mul_(20)  # so that units saturate
            head[2].weight.mul_(100)
    states = torch.randn(32, 1, 4)
    assert torch.equal(module.q_values(states), module.q_values(states))
    learning = [module.online(states) for _ in range(2)]
    assert not torch.equal(*learning)
    minibatch = {"s_tm1": states, "s_t": states}
    first, second = (module.forward_train(dict(minibatch)) for _ in range(2))
    assert not torch.equal(first["q_tm1"], second["q_tm1"])
    for name in ("q_t_value", "q_t_selector"):
        assert torch.equal(first[name], second[name])
    assert all(part.training for part in noisy_parts(module.online))


def test_noise_falls_with_the_updates_and_is_restored():
    one = learner()
    assert c_of(one.dqn_module.online) == {30}
    metrics, _ = one.update_minibatches(batch(40), 10)
    wanted = Schedule(start=30, end=0.5, duration=100, shape="linear")(10)
    assert metrics["noise_c"] == pytest.approx(wanted)
    assert c_of(one.dqn_module.online) == {round(wanted, 4)}
    other = learner()
    other.set_state(one.get_state())
    assert c_of(other.dqn_module.online) == {round(wanted, 4)}
    one.update_minibatches(batch(80), 20)
    other.update_minibatches(batch(80), 20)
    assert c_of(other.dqn_module.online) == c_of(one.dqn_module.online)


def test_by_default_the_noise_falls_over_the_whole_training():
    options = DQNOptions(env="CartPole-v1", total_frames=1_000, updates_per_step=0.5)
    assert options.num_updates == 500
    noisy = DQNOptions(activation="noisy_hard_tanh", anneal="30:0.5", total_frames=1_000)
    schedule = noisy.schedule(noisy.num_updates)
    assert schedule is not None and schedule.duration == 250


def test_a_network_is_made_again_from_its_arguments():
    arguments = learner(noise_per_unit=True, anneal=None, anneal_updates=None).dqn_module.arguments
    network = QNetwork(**arguments)
    part = network.advantage[1]
    assert isinstance(part, NoisyHardTanh) and part.half_normal
    assert part.p is not None and part.p.shape == (16,)
    assert isinstance(QNetwork((1, 4), 3).advantage[1], torch.nn.ReLU)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "hard_tanh", "hard_sigmoid"])
def test_other_activations_train(name: str):
    own = learner(activation=name, anneal=None, anneal_updates=None)
    metrics, _ = own.update_minibatches(batch(20), 5)
    assert np.isfinite(metrics["loss"]) and "noise_c" not in metrics


def test_both_levels_of_hdqn_have_noise():
    algo = (
        HDQNConfig()
        .training(
            env="KeyDoor-v0",
            num_envs_per_env_runner=2,
            learning_starts=50,
            steps_per_iteration=200,
            replay_capacity=1_000,
            hidden_size=16,
            phase1_frames=50,
            meta_learning_starts=2,
            meta_batch_size=4,
            meta_replay_capacity=100,
            meta_updates_per_step=0.1,
            max_goal_steps=5,
            eval_period_frames=0,
            activation="noisy_hard_sigmoid",
            anneal="30:0.5",
            anneal_updates=10,
        )
        .debugging(seed=1)
        .build_algo()
    )
    assert isinstance(algo, HDQN)
    algo.train()
    for name in ("controller", "meta"):
        online = algo.runner.modules[name].online
        assert {type(part).__name__ for part in noisy_parts(online)} == {"NoisyHardSigmoid"}
    assert c_of(algo.runner.modules["controller"].online) == {0.5}
    algo.stop()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(activation="noisy_hard_tahn"), 'activation "noisy_hard_tahn".*"noisy_hard_tanh"'),
        (dict(activation="noisy_hard_tanh", noise_c=-1.0), "noise_c -1.0: must be at least 0"),
        (dict(activation="noisy_hard_tanh", noise_alpha=-1.0), "noise_alpha -1.0: must be above"),
        (dict(anneal="30:0.5"), "anneal 30:0.5: activation relu has no noise"),
        (dict(activation="noisy_hard_tanh", anneal="1:2"), "anneal 1:2: rises"),
        (dict(noise_variant="nant"), 'noise_variant "nant"'),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        DQNOptions(**options)
