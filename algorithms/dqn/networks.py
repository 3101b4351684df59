"""The RLModule that holds the Q-network beside its target."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from algorithms.dqn.q_network import QNetwork


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
