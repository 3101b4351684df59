"""What a runner asks of an environment: batches of single frames, and what ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

GOES_ON = -1
"""In the place of a seed: an environment's random numbers go on from those of its last episode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameStep:
    """What one batched step brought. N environments.

    An episode that ended stays at its last frame: who steps starts the next one, by `reset`, before
    stepping on. So every episode can be played again from the last seed and the actions since.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What one environment shows at one time, for goals to be judged by."""

    observation: np.ndarray
    """The newest frame, or the vector, as the environment gave it."""
    info: dict[str, Any] = field(default_factory=dict)
    """What it said besides: `info` of a Gymnasium environment; of a game `ram`, (128,) uint8,
    and, for goals that need it, `screen`, (210, 160, 3) uint8 RGB."""


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

    def reset(self, seeds: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Starts episodes.

        Args:
            seeds: (number of episodes started,) int64 from 0 to 2**31 - 1, one for each, or
                `GOES_ON` for one that follows from its environment's past, which may be sooner.
            mask: (N,) bool, the sub-environments to start; None: all. The others go on.

        Returns:
            (number of episodes started, *frame_shape): their first frames.
        """
        ...

    def send(self, actions: np.ndarray) -> None:
        """Starts a step with `actions`, (N,) int64 from 0 to `num_actions` - 1.

        Every sub-environment must have been reset since its episode ended.
        """
        ...

    def recv(self) -> FrameStep:
        """Waits for the step started by `send`."""
        ...

    def close(self) -> None:
        """Frees threads and emulators."""
        ...
