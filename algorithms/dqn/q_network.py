"""The Q-network: plain torch, without Ray, so that a trained policy plays anywhere.

Mnih et al. 2013, section 4.1: 16 8x8 filters of stride 4, 32 4x4 filters of stride 2, 256 units,
one output per action, rectifiers between, no padding. Mnih et al. 2015, Methods: 32 8x8/4, 64
4x4/2, 64 3x3/1, 512. Dueling streams: Wang et al. 2016, equation 9. Distributions of returns: C51,
Bellemare et al. 2017, section 4; with dueling streams for each atom, Hessel et al. 2018.

Shapes: B batch, A actions, Z atoms, K frames in a stack, C channels of a frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.noisy.options import ActivationOptions

# (filters, size, stride) of each convolution, then the width of the hidden layer.
_CONVOLUTIONS: dict[str, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "nips2013": (((16, 8, 4), (32, 4, 2)), 256),
    "nature2015": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),
    # Pictures of a few cells a side, where the papers' strides would leave nothing.
    "small": (((32, 3, 1), (64, 3, 1)), 256),
}
_BYTE = 1 / 255
_SMALLEST_PICTURE = 36  # rows and columns the papers' convolutions need


class QNetwork(nn.Module):
    """Values of all actions.

    Args:
        observation_shape: `(K, H, W)` or `(K, C, H, W)` for stacked images (uint8), `(1, D)` for
            vectors (float32).
        num_actions: A.
        network: `nips2013` or `nature2015`; images smaller than 36 pixels a side get 3x3 filters.
        hidden_size: width of the two hidden layers for vectors.
        dueling: separate value and advantage streams, joined as V + A - mean(A).
        num_atoms: Z; 1 learns the mean return alone.
        v_min: return of the lowest of several atoms.
        v_max: return of the highest.
        activation: of the heads' hidden layer, `ActivationOptions.network_values`; None:
            rectifiers.
    """

    support: Tensor
    """(Z,) float32, the atoms' returns; of several atoms only."""

    def __init__(
        self,
        observation_shape: Sequence[int],
        num_actions: int,
        *,
        network: str = "nips2013",
        hidden_size: int = 256,
        dueling: bool = False,
        num_atoms: int = 1,
        v_min: float = -10.0,
        v_max: float = 10.0,
        activation: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_actions, self.num_atoms = num_actions, num_atoms
        if num_atoms > 1:  # not persistent: it follows from the arguments
            self.register_buffer(
                "support", torch.linspace(v_min, v_max, num_atoms), persistent=False
            )
        self.is_image = len(observation_shape) >= 3
        if self.is_image:
            *planes, height, width = observation_shape
            small = min(height, width) < _SMALLEST_PICTURE
            layers, hidden = _CONVOLUTIONS["small" if small else network]
            self.torso, self.num_features = _convolutions(math.prod(planes), height, width, layers)
        else:
            hidden = hidden_size
            self.num_features = hidden_size
            self.torso = nn.Sequential(
                nn.Flatten(), nn.Linear(math.prod(observation_shape), hidden_size), nn.ReLU()
            )
        made = ActivationOptions(**(activation or {}))
        self.value = _head(self.num_features, hidden, num_atoms, made) if dueling else None
        self.advantage = _head(self.num_features, hidden, num_actions * num_atoms, made)
        _initialize(self)

    def forward(self, observation: Tensor) -> Tensor:
        """Q-values (B, A) float32 of observations (B, *observation_shape), images as 0 to 255."""
        outputs = self.outputs(observation)
        return outputs.squeeze(2) if self.num_atoms == 1 else self.mean(outputs)

    def mean(self, logits: Tensor) -> Tensor:
        """The means (B, A) of distributions whose logits are (B, A, Z), of several atoms."""
        return (logits.softmax(dim=2) * self.support).sum(dim=2)

    def outputs(self, observation: Tensor) -> Tensor:
        """What the last layers give, (B, A, Z) float32: logits of the atoms, or one value each."""
        if self.is_image:
            # Frames of several channels are joined to K * C planes.
            planes = observation.flatten(1, -3) if observation.dim() > 4 else observation
            # In place: a product of bytes with a float takes twenty times as long.
            features = self.torso(planes.float().mul_(_BYTE))
        else:
            features = self.torso(observation)
        advantage = _values(self.advantage, features).unflatten(
            1, (self.num_actions, self.num_atoms)
        )
        if self.value is None:
            return advantage
        value = _values(self.value, features).unsqueeze(1)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


def _convolutions(
    planes: int, height: int, width: int, layers: tuple[tuple[int, int, int], ...]
) -> tuple[nn.Sequential, int]:
    """The convolutions with rectifiers, flattened, and how many features they end in."""
    modules: list[nn.Module] = []
    for filters, size, stride in layers:
        modules += [nn.Conv2d(planes, filters, size, stride), nn.ReLU()]
        planes = filters
        height, width = (height - size) // stride + 1, (width - size) // stride + 1
    return nn.Sequential(*modules, nn.Flatten()), planes * height * width


def _head(features: int, hidden: int, outputs: int, activation: ActivationOptions) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden),
        activation.make_activation(hidden),
        nn.Linear(hidden, outputs),
    )


def _values(head: nn.Sequential, features: Tensor) -> Tensor:
    """A head's outputs, the last layer always in float32.

    The actions' values often differ by less than bfloat16 resolves (1/128 at 1).
    """
    hidden = head[:-1](features)
    with torch.autocast(hidden.device.type, enabled=False):
        return head[-1](hidden.float())


def _initialize(network: QNetwork) -> None:
    """Orthogonal weights, small ones in the last layers, biases of 0 (Saxe et al. 2014).

    torch's own draws are smaller and have biases. Frames are all positive and mostly one constant
    background, so the first updates, which only find the mean value, then push the first layer's
    rectifiers below 0 for every picture: Pong never learnt with most seeds.
    """
    heads = [head for head in (network.value, network.advantage) if head is not None]
    gains = {head[-1]: 0.01 for head in heads}
    # Rectifiers halve what goes through them, the others do not.
    gains |= {head[0]: 1.0 for head in heads if not isinstance(head[1], nn.ReLU)}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, gain=gains.get(module, math.sqrt(2)))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
