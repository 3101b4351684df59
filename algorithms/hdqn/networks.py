"""The controller's module: a Q-network that sees the goal beside the state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.dqn.networks import DQNModule
from algorithms.hdqn.joined import join_goal


class ControllerModule(DQNModule):
    """As `DQNModule`; the observations of its space are states with the goal joined to them.

    `model_config` holds `goal_inputs` too: `GoalSpace.inputs`.
    """

    goal_inputs: Tensor

    def setup(self) -> None:
        """Builds the networks and keeps what is to be seen of each goal."""
        super().setup()
        inputs = torch.as_tensor(np.asarray(self.model_config["goal_inputs"]))  # type: ignore[index]
        # Not persistent: it follows from the arguments.
        self.register_buffer("goal_inputs", inputs, persistent=False)

    def see(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """States with the goal that was pursued, also in those bootstrapped from."""
        goal = self.goal_inputs[batch["goal"]]
        return join_goal(batch["s_tm1"], goal), join_goal(batch["s_t"], goal)

    @torch.no_grad()
    def q_values_of(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Q-values (B, A) of states (B, *state_shape) while goals, (B,) int64, are pursued; as of
        `q_values`."""
        return self.q_values(join_goal(observation, self.goal_inputs[goal]))
