"""What a runner asks of an environment: batches of single frames, and what ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import gymnasium as gym
import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameStep:
    """What one batched step brought. N environments.

    A sub-environment that ended at the step before is reset by this one: its action was ignored,
    `started` is set, its frame is the first of the new episode and nothing else of it counts
    (Gymnasium's autoreset mode NEXT_STEP).
    """

    frame: np.ndarray
    """(N, *frame_shape): the single newest frames, not stacked."""
    reward: np.ndarray
    """(N,) float32: the environment's own reward, never clipped."""
    terminated: np.ndarray
    """(N,) bool: the episode ended and nothing follows."""
    truncated: np.ndarray
    """(N,) bool: the episode was cut; something would have followed."""
    life_lost: np.ndarray
    """(N,) bool: a life was lost and the game goes on."""
    started: np.ndarray
    """(N,) bool: this frame is the first of an episode."""


class FrameVectorEnv(Protocol):
    """N environments that step together. `send` starts a step and `recv` waits for it, so that a
    caller can do something else while the environments work."""

    num_envs: int
    frame_shape: tuple[int, ...]
    frame_dtype: np.dtype
    stacks: bool
    """Whether observations are stacks of frames (images) or the frame alone (vectors)."""
    num_actions: int
    action_names: tuple[str, ...]
    action_space: gym.spaces.Discrete

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Starts all episodes anew; sub-environment i is seeded with `seed + i`.

        Returns:
            (N, *frame_shape): their first frames.
        """
        ...

    def send(self, actions: np.ndarray) -> None:
        """Starts a step with `actions`, (N,) int64 from 0 to `num_actions` - 1."""
        ...

    def recv(self) -> FrameStep:
        """Waits for the step started by `send`."""
        ...

    def close(self) -> None:
        """Frees threads and emulators."""
        ...
