"""What the controller sees: a state, and the goal joined to it. Plain torch, without Ray."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor


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
