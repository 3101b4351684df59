"""A colorizer with noisy activations, whose noise its training makes less."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.noisy import NoisyHardTanh, noisy_parts
from arcadia.errors import UserError
from pipelines.colorization import (
    Colorizer,
    ColorizerOptions,
    NetworkOptions,
    load_colorizer,
    save_colorizer,
)
from pipelines.colorization.learner import Learner

NETWORK = NetworkOptions(
    width=0.05, image_size=32, activation="noisy_hard_tanh", noise_per_unit=True
)


def learner(**more: Any) -> Learner:
    values: dict[str, Any] = dict(network=NETWORK, optimizer="adam", steps=20, anneal="30:0.5")
    return Learner(3, ColorizerOptions(**(values | more)))


def step(of: Learner, seed: int = 0) -> float:
    images = np.random.default_rng(seed).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    torch.manual_seed(seed)
    return float(of.step(images, np.arange(4) % 3).total)


def test_every_layer_is_noisy_but_the_last():
    network = Colorizer(3, NETWORK)
    parts = list(noisy_parts(network))
    rectified = Colorizer(3, width=0.05, image_size=32)
    assert len(parts) == sum(isinstance(m, torch.nn.ReLU) for m in rectified.modules()) == 21
    assert isinstance(network.fusion.activation, NoisyHardTanh)
    assert {part.dim for part in parts} == {1, -1}
    names = {name for name, _ in rectified.named_parameters()}
    assert names == {n for n, _ in network.named_parameters() if not n.endswith("activation.p")}


def test_the_noise_falls_and_goes_on():
    one, other = learner(), learner()
    for seed in range(5):
        step(one, seed)
    other.load_state(one.state())
    assert one.annealing is not None and other.annealing is not None
    assert other.annealing.c == one.annealing.c < 30
    assert {round(part.c.item(), 4) for part in noisy_parts(other.network)} == {
        round(one.annealing.c, 4)
    }
    assert step(one, 9) == step(other, 9)


def test_it_learns():
    own = learner(anneal=None)
    losses = [step(own) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


def test_it_colours_without_noise_after_a_way_through_a_file(tmp_path: Path):
    network = Colorizer(3, NETWORK).eval()
    save_colorizer(network, tmp_path / "network")
    again = load_colorizer(tmp_path / "network")
    assert again.options == NETWORK
    picture = torch.rand(1, 3, 40, 32)
    torch.testing.assert_close(again.colorize(picture), network.colorize(picture))
    torch.testing.assert_close(again.colorize(picture), again.colorize(picture))


def test_what_means_nothing_is_refused():
    with pytest.raises(UserError, match=r"anneal 30:0\.5: activation relu has no noise"):
        ColorizerOptions(anneal="30:0.5")
    with pytest.raises(UserError, match="noise_c -1: must be at least 0"):
        NetworkOptions(activation="noisy_hard_tanh", noise_c=-1)
