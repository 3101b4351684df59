"""The Q-network, and the RLModule that holds it beside its target.

Mnih et al. 2013, section 4.1: 16 8x8 filters of stride 4, 32 4x4 filters of stride 2, 256 units,
one output per action, rectifiers between, no padding. Mnih et al. 2015, Methods: 32 8x8/4, 64
4x4/2, 64 3x3/1, 512. Dueling streams: Wang et al. 2016, equation 9.

Shapes: B batch, A actions, K frames in a stack, C channels of a frame.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

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
    """

    def __init__(
        self,
        observation_shape: tuple[int, ...],
        num_actions: int,
        *,
        network: str = "nips2013",
        hidden_size: int = 256,
        dueling: bool = False,
    ) -> None:
        super().__init__()
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
        self.value = _head(self.num_features, hidden, 1) if dueling else None
        self.advantage = _head(self.num_features, hidden, num_actions)

    def forward(self, observation: Tensor) -> Tensor:
        """Q-values (B, A) float32 of observations (B, *observation_shape), images as 0 to 255."""
        if self.is_image:
            # Frames of several channels are joined to K * C planes.
            planes = observation.flatten(1, -3) if observation.dim() > 4 else observation
            features = self.torso(planes * _BYTE)  # one pass from bytes to scaled floats
        else:
            features = self.torso(observation)
        advantage = _values(self.advantage, features)
        if self.value is None:
            return advantage
        return _values(self.value, features) + advantage - advantage.mean(dim=1, keepdim=True)


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


def _head(features: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _values(head: nn.Sequential, features: Tensor) -> Tensor:
    """A head's outputs, the last layer always in float32.

    The actions' values often differ by less than bfloat16 resolves (1/128 at 1).
    """
    hidden = head[:-1](features)
    with torch.autocast(hidden.device.type, enabled=False):
        return head[-1](hidden.float())


class DQNModule(TorchRLModule, InferenceOnlyAPI):
    """The Q-network and, on a learner whose options ask for one, its target network.

    `model_config` holds `network`, `hidden_size`, `dueling`, `double` and `use_target`.
    """

    def setup(self) -> None:
        """Builds the networks; the target starts as a copy and never takes gradients."""
        config: dict[str, Any] = dict(self.model_config)  # type: ignore[arg-type]
        self.double = config["double"]

        def build() -> QNetwork:
            return QNetwork(
                self.observation_space.shape,  # type: ignore[arg-type, union-attr]
                int(self.action_space.n),  # type: ignore[union-attr]
                network=config["network"],
                hidden_size=config["hidden_size"],
                dueling=config["dueling"],
            )

        self.online = build()
        if config["use_target"]:
            self.target = build().requires_grad_(False)
            self.update_target()

    def get_non_inference_attributes(self) -> list[str]:
        """Names what acting does not need."""
        return ["target"]

    def update_target(self) -> None:
        """Copies the online network to the target network; nothing to do without one."""
        if (target := getattr(self, "target", None)) is not None:
            target.load_state_dict(self.online.state_dict())

    @torch.no_grad()
    def q_values(self, observation: Tensor) -> Tensor:
        """Q-values (B, A) of observations (B, *observation_shape), without gradients."""
        return self.online(observation)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Greedy actions, for RLlib's own callers; the runner adds the exploration."""
        q = self.q_values(batch[Columns.OBS])
        return {Columns.ACTIONS: q.argmax(dim=1), "q_values": q}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """Values a loss needs.

        Returns:
            `q_tm1` (B, A) with gradients; `q_t_value` (B, A), the values bootstrapped from;
            `q_t_selector` (B, A), the values that choose the action bootstrapped from.
        """
        with torch.no_grad():
            bootstrap = getattr(self, "target", self.online)
            q_t_value = bootstrap(batch["s_t"])
            q_t_selector = self.online(batch["s_t"]) if self.double else q_t_value
        return {
            "q_tm1": self.online(batch["s_tm1"]),
            "q_t_value": q_t_value,
            "q_t_selector": q_t_selector,
        }
