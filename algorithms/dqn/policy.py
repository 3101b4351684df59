"""A trained policy outside Ray: one file that holds its network and what it was trained on.

The file is safetensors, so that reading one runs no code of whoever wrote it. It needs torch and
numpy; Ray is neither started nor imported.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from algorithms.dqn.options import DQNOptions, check_option_names
from algorithms.dqn.q_network import QNetwork
from arcadia.errors import UserError
from arcadia.jsonable import jsonable
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from algorithms.dqn.policy_env import PolicyEnv

POLICY_FILE = "policy.safetensors"
"""Name of the file in a checkpoint."""
_FORMAT = "arcadia-dqn-policy-1"


class Policy:
    """Chooses actions for observations.

    Attributes:
        network: The Q-network, in evaluation mode.
        options: What it was trained with.
        step: Steps of training it had taken.
        observation_shape: Of one observation: (K, H, W) or (K, C, H, W) uint8 for K stacked images,
            (D,) float32 for vectors.
        action_space: The environment's own.
    """

    def __init__(
        self,
        network: QNetwork,
        options: DQNOptions,
        *,
        observation_shape: tuple[int, ...],
        action_space: gym.spaces.Discrete,
        step: int,
        seed: int | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.options = options
        self.step = step
        self.observation_shape = observation_shape
        self.action_space = action_space
        self._rng = np.random.default_rng(seed)

    def predict(self, observation: np.ndarray, deterministic: bool = True) -> np.int64 | np.ndarray:
        """Chooses actions.

        Args:
            observation: `observation_shape`, or (B, *observation_shape) for a batch; images as
                uint8 from 0 to 255, oldest frame first, vectors as float.
            deterministic: The action of greatest value; else with `epsilon_eval` a random one.

        Returns:
            An action of the environment's, or (B,) int64 of a batch.

        Raises:
            ValueError: The observation has another shape or dtype.
        """
        values = self.q_values(observation)
        actions = values.argmax(axis=-1)
        if not deterministic:
            random = self._rng.random(actions.shape) < self.options.epsilon_eval
            others = self._rng.integers(self.action_space.n, size=actions.shape)
            actions = np.where(random, others, actions)[()]
        return actions + np.int64(self.action_space.start)

    def q_values(self, observation: np.ndarray) -> np.ndarray:
        """Values of all actions: (A,) float32 of one observation, (B, A) of a batch.

        Raises:
            ValueError: The observation has another shape or dtype.
        """
        observation, shape = np.asarray(observation), self.observation_shape
        alone = observation.shape == shape
        if not alone and observation.shape[1:] != shape:
            raise ValueError(
                f"observation has shape {observation.shape}: needs {shape}, or a batch of these; "
                "policy.make_env() makes them"
            )
        if len(shape) > 1 and observation.dtype != np.uint8:
            raise ValueError(f"observation is {observation.dtype}: images are uint8, 0 to 255")
        batch = observation[np.newaxis] if alone else observation
        if len(shape) == 1:
            batch = batch[:, np.newaxis].astype(np.float32)
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            values = self.network(torch.from_numpy(np.ascontiguousarray(batch)).to(device))
        return values[0].cpu().numpy() if alone else values.cpu().numpy()

    def make_env(self, env: gym.Env[Any, Any] | None = None) -> PolicyEnv:
        """An environment whose observations are what the policy was trained on.

        Args:
            env: What to play, by a name that Gymnasium does not know; by default the game or the
                Gymnasium id of the training.

        Raises:
            UserError: No environment was given and Gymnasium does not know the training's.
        """
        from algorithms.dqn.policy_env import PolicyEnv

        return PolicyEnv(self.options, env)


def load_policy(
    run: str | os.PathLike[str],
    checkpoint: str = "last",
    *,
    device: str | torch.device = "cpu",
    seed: int | None = None,
) -> Policy:
    """Loads the policy of a run, without Ray.

    Args:
        run: Folder or address of a run, or a folder that `DQN.save_to_path` wrote.
        checkpoint: "last", "best" (in evaluation during training) or a step; of a run.
        device: Where the network goes.
        seed: Of the random actions of `predict(..., deterministic=False)`.

    Raises:
        UserError: There is no such run or checkpoint, or its policy cannot be read.
    """
    if "://" not in os.fspath(run) and Path(run, POLICY_FILE).is_file():
        folder = Path(run)
    else:
        opened = RunFolder.open(run)
        if opened.kind != "dqn":
            raise UserError(f'{opened.storage.shown()}: a run of kind "{opened.kind}", not dqn')
        folder, _ = opened.find_checkpoint(checkpoint)
    return read_policy(folder, device=device, seed=seed)


def write_policy(
    folder: str | os.PathLike[str],
    network: QNetwork,
    options: DQNOptions,
    *,
    arguments: dict[str, Any],
    action_space: gym.spaces.Discrete,
    step: int,
) -> None:
    """Writes a policy into a folder, as `POLICY_FILE`.

    Args:
        folder: Where to.
        network: Its weights are written.
        options: What it was trained with.
        arguments: What makes a network like it: the arguments of `QNetwork` by name.
        action_space: The environment's.
        step: Steps of training taken.
    """
    described = {
        "format": _FORMAT,
        "network": json.dumps(arguments),
        "options": json.dumps(jsonable(options)),
        "actions": json.dumps([int(action_space.n), int(action_space.start)]),
        "step": str(step),
    }
    # Contiguous, whatever layout the learner keeps them in.
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    save_file(weights, Path(folder, POLICY_FILE), metadata=described)


def read_policy(
    folder: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    seed: int | None = None,
) -> Policy:
    """The policy in a checkpoint's folder; see `load_policy`.

    Raises:
        UserError: There is none, or one that is damaged or of something else.
    """
    path = Path(folder, POLICY_FILE)
    if not path.is_file():
        raise UserError(f"{folder}: holds no policy of DQN ({POLICY_FILE} is missing)")
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); use another checkpoint") from error
    if described.get("format") != _FORMAT:
        raise UserError(f"{path}: holds no policy of DQN, or one of another version of Arcadia")
    try:
        options, arguments = json.loads(described["options"]), json.loads(described["network"])
        number, first = json.loads(described["actions"])
        check_option_names(options)
        network = QNetwork(**arguments)
        network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged ({error}); use another checkpoint") from error
    shape = tuple(arguments["observation_shape"])
    return Policy(
        network.to(device),
        DQNOptions(**options),
        observation_shape=shape if network.is_image else shape[1:],
        action_space=gym.spaces.Discrete(number, start=first),
        step=int(described["step"]),
        seed=seed,
    )


def check_game(policy: Policy, options: DQNOptions, where: str) -> None:
    """Refuses the policy of one game where another is played.

    Raises:
        UserError: they differ, naming both; `where` says what holds the policy.
    """
    learnt, plays = (o.game or o.env for o in (policy.options, options))
    if learnt != plays:
        raise UserError(
            f'{where}: holds the network of another game: it learnt "{learnt}", and "{plays}" is '
            "what the run plays"
        )
