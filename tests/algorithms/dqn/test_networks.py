"""The networks, layer by layer."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from algorithms.dqn.networks import DQNModule
from algorithms.dqn.q_network import QNetwork
from algorithms.noisy.activations import noisy_parts, set_c


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shapes_through(network: QNetwork, observation: torch.Tensor) -> list[tuple[int, ...]]:
    shapes = []
    for layer in [*network.torso, *network.advantage]:
        layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    network(observation)
    return shapes


def test_nips2013_layer_by_layer():
    network = QNetwork((4, 84, 84), 4, network="nips2013")
    shapes = shapes_through(network, torch.zeros(2, 4, 84, 84, dtype=torch.uint8))
    assert shapes == [
        (16, 20, 20),  # 16 8x8 filters of stride 4
        (16, 20, 20),
        (32, 9, 9),  # 32 4x4 filters of stride 2
        (32, 9, 9),
        (2592,),
        (256,),
        (256,),
        (4,),
    ]
    assert network.num_features == 2_592
    assert num_parameters(network) == 677_172
    kinds = [type(m) for m in [*network.torso, *network.advantage]]
    assert kinds == [
        nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear
    ]  # fmt: skip


def test_nature2015_layer_by_layer():
    network = QNetwork((4, 84, 84), 4, network="nature2015")
    assert network.num_features == 64 * 7 * 7
    assert num_parameters(network) == 1_686_180


def test_bytes_are_scaled_to_one():
    network = QNetwork((4, 84, 84), 3)
    picture = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    by_hand = network.advantage(network.torso(picture.float() / 255))
    torch.testing.assert_close(network(picture), by_hand)


def test_dueling_streams_join_as_value_plus_centred_advantage():
    network = QNetwork((1, 3), 5, dueling=True, hidden_size=8)
    x = torch.randn(4, 1, 3)
    features = network.torso(x)
    assert network.value is not None
    q = network(x)
    torch.testing.assert_close(q.mean(dim=1, keepdim=True), network.value(features))
    advantage = network.advantage(features)
    torch.testing.assert_close(
        q - q.mean(1, keepdim=True), advantage - advantage.mean(1, keepdim=True)
    )


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 10, 10), torch.uint8), ((2, 3, 64, 48), torch.uint8), ((1, 7), torch.float32)],
)
def test_any_picture_or_vector_has_values(shape: tuple[int, ...], dtype: torch.dtype):
    assert QNetwork(shape, 3)(torch.zeros(1, *shape, dtype=dtype)).shape == (1, 3)


def module(inference_only: bool = False, **changes: object) -> DQNModule:
    config = {
        "network": "nips2013",
        "hidden_size": 8,
        "dueling": False,
        "double": True,
        "use_target": True,
    }
    return DQNModule(
        observation_space=gym.spaces.Box(-1, 1, (1, 3), np.float32),
        action_space=gym.spaces.Discrete(2),
        inference_only=inference_only,
        model_config=config | changes,
    )


def test_the_target_starts_as_a_copy_and_follows_only_when_told():
    m = module()
    x = torch.randn(5, 1, 3)
    torch.testing.assert_close(m.target(x), m.online(x))
    with torch.no_grad():
        m.online.advantage[-1].bias += 1
    assert (m.target(x) - m.online(x)).abs().max() > 0.5
    m.update_target()
    torch.testing.assert_close(m.target(x), m.online(x))
    assert not any(p.requires_grad for p in m.target.parameters())


def test_without_a_target_the_online_network_bootstraps():
    m = module(use_target=False, double=False)
    assert not hasattr(m, "target")
    x = torch.randn(5, 1, 3)
    out = m._forward_train({"s_tm1": x, "s_t": x})
    torch.testing.assert_close(out["q_t_value"], out["q_tm1"].detach())
    assert out["q_tm1"].requires_grad
    assert not out["q_t_value"].requires_grad


def test_acting_needs_no_target():
    light = module(inference_only=True)
    assert not hasattr(light, "target")
    whole = module()
    light.set_state(whole.get_state(inference_only=True))
    x = torch.randn(5, 1, 3)
    torch.testing.assert_close(light.q_values(x), whole.q_values(x))


@pytest.mark.parametrize("dueling", [False, True])
def test_atoms_are_distributions_whose_mean_is_the_value(dueling: bool):
    network = QNetwork((4, 84, 84), 3, dueling=dueling, num_atoms=5, v_min=-2, v_max=2)
    frames = torch.randint(0, 256, (7, 4, 84, 84), dtype=torch.uint8)
    logits = network.outputs(frames)
    assert logits.shape == (7, 3, 5)
    by_hand = (logits.softmax(2) * torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])).sum(2)
    torch.testing.assert_close(network(frames), by_hand)
    assert "support" not in network.state_dict()  # it follows from the arguments


def test_dueling_streams_meet_at_each_atom():
    network = QNetwork((1, 4), 3, hidden_size=8, dueling=True, num_atoms=5)
    assert network.value is not None
    x = torch.randn(6, 1, 4)
    features = network.torso(x)
    value = network.value(features)[:, None]
    advantage = network.advantage(features).reshape(6, 3, 5)
    expected = value + advantage - advantage.mean(dim=1, keepdim=True)
    torch.testing.assert_close(network.outputs(x), expected)


def test_a_fresh_network_values_all_alike_and_no_layer_is_dead():
    network = QNetwork((4, 84, 84), 6, dueling=True)
    # As Pong looks: one bright background everywhere, which no centred draw expects.
    frames = torch.full((8, 4, 84, 84), 87, dtype=torch.uint8)
    assert network(frames).abs().max() < 0.1
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            assert not layer.bias.any()
            rows = layer.weight.flatten(1)
            if len(rows) <= rows.shape[1]:
                last = layer in (network.value[-1], network.advantage[-1])
                gram = rows @ rows.T / (1e-4 if last else 2.0)
                torch.testing.assert_close(gram, torch.eye(len(rows)), atol=1e-4, rtol=1e-3)


def test_a_targets_noise_is_the_online_networks():
    m = module(activation={"activation": "noisy_hard_tanh", "noise_variant": "nah"})
    set_c(m.online, 3.0)
    m.update_target(0.25)
    assert {float(part.c) for part in noisy_parts(m.target)} == {3.0}
