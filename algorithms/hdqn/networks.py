"""The controller's module: a Q-network that sees the goal beside the state."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from algorithms.dqn.networks import DQNModule


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
        """Q-values (B, A) of states (B, *state_shape) while goals, (B,) int64, are pursued."""
        return self.online(join_goal(observation, self.goal_inputs[goal]))


def join_goal(state: Tensor, goal: Tensor) -> Tensor:
    """States with what is to be seen of a goal: masks as one more plane, features at the end.

    Args:
        state: (B, K, H, W) or (B, K, C, H, W) uint8 pictures, or (B, 1, D) float32 vectors.
        goal: (B, H, W) uint8 masks, or (B, F) float32 features.

    Returns:
        (B, K * C + 1, H, W) uint8, or (B, 1, D + F) float32.
    """
    if state.dim() == 3:
        return torch.cat([state, goal.unsqueeze(1)], dim=2)
    return torch.cat([state.flatten(1, -3), goal.unsqueeze(1)], dim=1)


def joined_space(observations: gym.spaces.Box, goal_inputs: np.ndarray) -> gym.spaces.Box:
    """The space of states with a goal, of a space of states."""
    shape = observations.shape
    if len(shape) == 2:
        size = shape[1] + goal_inputs.shape[1]
        return gym.spaces.Box(-np.inf, np.inf, (1, size), np.float32)
    return gym.spaces.Box(0, 255, (int(np.prod(shape[:-2])) + 1, *shape[-2:]), np.uint8)
