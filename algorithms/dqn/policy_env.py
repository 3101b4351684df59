"""One environment that shows what a policy was trained on: frames prepared and stacked."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.stacks import FrameStacks, make_frames, observation_space
from arcadia.errors import UserError


class PolicyEnv(gym.Env[np.ndarray, np.int64]):
    """A Gymnasium environment for use outside Ray; made by `Policy.make_env`.

    Observations are `Policy.observation_shape`; rewards are the game's own. As with any environment
    of Gymnasium's, `reset` comes first and after the end of an episode.

    Args:
        options: What is played, and how frames are prepared.
        env: What to play instead of making `options.env`.

    Raises:
        UserError: `options.env` is not known to Gymnasium and no `env` was given.
    """

    def __init__(self, options: DQNOptions, env: gym.Env[Any, Any] | None = None) -> None:
        def make(_: int) -> gym.Env[Any, Any]:
            if env is not None:
                return env
            try:
                return gym.make(str(options.env))
            except gym.error.Error as error:
                raise UserError(
                    f'env "{options.env}": Gymnasium cannot make it ({error}); give the '
                    "environment: make_env(env)"
                ) from error

        self._frames = make_frames(options, make, num_envs=1)
        self._stacks = FrameStacks(self._frames, options.frame_stack)
        space = observation_space(self._frames, options.frame_stack)
        if not self._frames.stacks:
            space = gym.spaces.Box(space.low[0], space.high[0], dtype=np.float32)
        self.observation_space = space
        self.action_space = self._frames.action_space
        self._first_action = int(self._frames.action_space.start)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; the same seed and actions show the same one."""
        super().reset(seed=seed)
        start = np.array([self.np_random.integers(2**31) if seed is None else seed])
        self._stacks.start(self._frames.reset(start), np.ones(1, bool))
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes one step, `frame_skip` emulator frames of a game."""
        self._frames.send(np.array([int(action) - self._first_action]))
        step = self._frames.recv()
        self._stacks.push(step.frame)
        info = self._info() | {"life_lost": bool(step.life_lost[0])}
        return (
            self._observation(),
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            info,
        )

    def _info(self) -> dict[str, Any]:
        """What the environment said besides, by which goals of h-DQN are judged."""
        moments = getattr(self._frames, "moments", None)
        return {} if moments is None else dict(moments()[0].info)

    def close(self) -> None:
        """Ends the emulator."""
        self._frames.close()

    def _observation(self) -> np.ndarray:
        stack = self._stacks.observation[0]
        return (stack if self._frames.stacks else stack[0]).copy()
