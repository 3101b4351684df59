"""Any Gymnasium environment with a Discrete action space, through Gymnasium's vector env."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from algorithms.envs.vector import GOES_ON, FrameStep, Moment
from arcadia.errors import UserError, did_you_mean
from arcadia.importing import import_named


def check_env(name: str) -> None:
    """Raises UserError for a name that is no environment, naming the nearest that is one.

    A name given to `ray.tune.register_env` is known. Of a class's path (`module.Class`) and of a
    Gymnasium id whose module is named (`module:Id-v0`) the module is imported; nothing of another
    kind that it holds is called.
    """
    from ray.tune.registry import ENV_CREATOR, _global_registry  # a policy plays without Ray

    if _global_registry.contains(ENV_CREATOR, name):
        return
    if "." in name or ":" in name:
        _check_path(name)
        return
    # Gymnasium takes an id without its version for the latest one.
    known = {*gym.registry, *(spec.name for spec in gym.registry.values())}
    if name.startswith("ALE/"):
        raise UserError(f'env "{name}": play Atari as a game, such as game="pong"')
    if name not in known:
        raise UserError(f'env "{name}": no such environment{did_you_mean(name, gym.registry)}')


def _check_path(path: str) -> None:
    is_id = ":" in path
    module, _, name = path.partition(":") if is_id else path.rpartition(".")
    found: Any = None
    try:
        found = import_named(module)
        if not is_id:
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f'env "{path}": cannot be loaded: {error}') from error
    if is_id:
        try:
            gym.spec(name)
        except gym.error.Error as error:
            raise UserError(f'env "{path}": {error}') from error
    elif not (isinstance(found, type) and issubclass(found, gym.Env)):
        raise UserError(f'env "{path}": is no environment; give the path of a gymnasium.Env')


class GymnasiumFrames:
    """N environments of one kind, one frame each a step.

    Observations: uint8 images `(H, W)` or `(H, W, C)` become frames `(H, W)` or `(C, H, W)` and are
    stacked; float or integer Box spaces of any other kind become float32 vectors; Discrete ones
    become one-hot float32 vectors.

    Args:
        make: makes one environment.
        num_envs: N.
        name: what to call the environment in errors.

    Raises:
        UserError: for an action space that is not Discrete, or an observation space that cannot
            be used.
    """

    def __init__(self, make: Callable[[int], Any], num_envs: int, *, name: str) -> None:
        self.num_envs = num_envs
        self._env = SyncVectorEnv(
            [lambda i=i: make(i) for i in range(num_envs)],
            autoreset_mode=AutoresetMode.DISABLED,
        )
        actions = self._env.single_action_space
        if not isinstance(actions, gym.spaces.Discrete):
            self._env.close()
            raise UserError(
                f'env "{name}": its action space is {actions}; DQN needs Discrete actions'
            )
        self.action_space = actions
        self.num_actions = int(actions.n)
        self._first_action = int(actions.start)
        self.action_names = tuple(str(self._first_action + a) for a in range(self.num_actions))
        self._read, self.frame_shape, self.frame_dtype, self.stacks = _reader(
            self._env.single_observation_space, name
        )
        self._actions: np.ndarray | None = None
        # Since the latest step: frames, infos, and of which environments they are.
        self._shown: list[tuple[np.ndarray, dict[str, Any], np.ndarray]] = []

    @property
    def env(self) -> SyncVectorEnv:
        """Gymnasium's own vector environment."""
        return self._env

    def reset(self, seeds: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Starts episodes; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        mask = np.ones(self.num_envs, bool) if mask is None else mask
        given = iter(seeds.tolist())
        per_env = [next(given) if starts else None for starts in mask]
        per_env = [None if seed == GOES_ON else seed for seed in per_env]
        observations, infos = self._env.reset(seed=per_env, options={"reset_mask": mask})
        frames = self._read(observations)
        self._shown = [*([] if mask.all() else self._shown), (frames, infos, mask)]
        return frames[mask]

    def send(self, actions: np.ndarray) -> None:
        """Keeps the actions for `recv`: these environments step in this process."""
        self._actions = actions + self._first_action

    def recv(self) -> FrameStep:
        """Steps; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        observations, reward, terminated, truncated, infos = self._env.step(self._actions)
        frames = self._read(observations)
        self._shown = [(frames, infos, np.ones(self.num_envs, bool))]
        return FrameStep(
            frame=frames,
            reward=reward.astype(np.float32),
            terminated=terminated,
            truncated=truncated & ~terminated,
            life_lost=np.zeros(self.num_envs, bool),
        )

    def moments(self) -> list[Moment]:
        """What each environment shows now, as a frame or a vector, with its `info`."""
        shown: list[Moment | None] = [None] * self.num_envs
        for frames, infos, mask in self._shown:
            # Gymnasium has each value of `info` for all environments, and in `_name` whose it is.
            values = {name: value for name, value in infos.items() if not name.startswith("_")}
            for i in np.flatnonzero(mask).tolist():
                own = {n: v[i] for n, v in values.items() if infos.get(f"_{n}", mask)[i]}
                shown[i] = Moment(observation=frames[i], info=own)
        assert all(moment is not None for moment in shown), "moments before reset"
        return shown  # type: ignore[return-value]

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()


def _reader(
    space: gym.Space[Any], name: str
) -> tuple[Callable[[Any], np.ndarray], tuple[int, ...], np.dtype, bool]:
    """How to turn a batch of observations into frames: function, shape, dtype, whether stacked."""
    if isinstance(space, gym.spaces.Discrete):
        identity = np.eye(int(space.n), dtype=np.float32)
        first = int(space.start)
        return lambda o: identity[o - first], (int(space.n),), identity.dtype, False
    if not isinstance(space, gym.spaces.Box):
        raise UserError(
            f'env "{name}": its observation space is {type(space).__name__}; DQN takes Box or '
            "Discrete (gymnasium.wrappers.FlattenObservation turns others into a Box)"
        )
    shape = tuple(space.shape)
    if space.dtype == np.uint8 and len(shape) == 2:
        return lambda o: np.array(o), shape, np.dtype(np.uint8), True
    if space.dtype == np.uint8 and len(shape) == 3:
        height, width, channels = shape
        if shape == (210, 160, 3):
            raise UserError(
                f'env "{name}": looks like raw Atari; ask for it as a game, such as game="pong"'
            )
        return (
            lambda o: np.ascontiguousarray(np.moveaxis(o, -1, 1)),
            (channels, height, width),
            np.dtype(np.uint8),
            True,
        )
    size = int(np.prod(shape))
    return lambda o: np.asarray(o, np.float32).reshape(-1, size), (size,), np.dtype("f4"), False
