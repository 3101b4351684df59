"""What the network sees while acting: the latest frames of each sub-environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from algorithms.dqn.options import DQNOptions
from algorithms.envs import AtariFrames, AtariRamFrames, FrameVectorEnv, GymnasiumFrames


class FrameStacks:
    """The last K frames of N environments; planes before an episode's start are zero.

    Vectors are never stacked: K is 1.

    Attributes:
        observation: (N, K, *frame_shape), oldest frame first.
        depth: (N,) int64, steps since the episode's first frame.
    """

    def __init__(self, frames: FrameVectorEnv, frame_stack: int) -> None:
        size = frame_stack if frames.stacks else 1
        shape = (frames.num_envs, size, *frames.frame_shape)
        self.observation = np.zeros(shape, frames.frame_dtype)
        self.depth = np.zeros(frames.num_envs, np.int64)

    @property
    def newest(self) -> np.ndarray:
        """(N, *frame_shape): a view of the latest frames."""
        return self.observation[:, -1]

    def start(self, frame: np.ndarray, mask: np.ndarray) -> None:
        """Empties some stacks, whose episodes start with a frame.

        Args:
            frame: (number of stacks emptied, *frame_shape).
            mask: (N,) bool, which.
        """
        self.observation[mask, :-1] = 0
        self.observation[mask, -1] = frame
        self.depth[mask] = 0

    def push(self, frame: np.ndarray) -> None:
        """Adds a frame, (N, *frame_shape), to each stack."""
        self.observation[:, :-1] = self.observation[:, 1:]
        self.observation[:, -1] = frame
        self.depth += 1


def observation_space(frames: FrameVectorEnv, frame_stack: int) -> gym.spaces.Box:
    """The space of one stacked observation, (K, *frame_shape)."""
    shape = (frame_stack if frames.stacks else 1, *frames.frame_shape)
    if frames.frame_dtype == np.uint8:
        return gym.spaces.Box(0, 255, shape, np.uint8)
    return gym.spaces.Box(-np.inf, np.inf, shape, np.float32)


def make_frames(
    options: DQNOptions,
    make_env: Callable[[int], Any],
    *,
    num_envs: int | None = None,
    screen: bool = False,
) -> FrameVectorEnv:
    """Makes the environments that the options ask for.

    Args:
        options: `game` and how it is played, or `env`.
        make_env: makes the Gymnasium environment of a vector index; not called for a game.
        num_envs: how many; None: as many as the options say.
        screen: the console's own picture instead of the agent's (games only).
    """
    count = num_envs or options.num_envs_per_env_runner
    if options.game is None:
        return GymnasiumFrames(make_env, count, name=str(options.env))
    frames_class = AtariRamFrames if options.emulator == "ram" else AtariFrames
    return frames_class(
        options.game,
        count,
        frame_skip=options.frame_skip,
        preprocess=options.preprocess,
        crop_top=options.crop_top,
        max_pool=options.max_pool,
        sticky_actions=options.sticky_actions,
        noop_max=options.noop_max,
        fire_on_reset=options.fire_on_reset,
        full_action_space=options.full_action_space,
        max_episode_frames=options.max_episode_frames,
        screen=screen,
    )
