"""A trained policy outside Ray: one file that holds its network and what it was trained on.

It needs torch and numpy; Ray is neither started nor imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch

from algorithms.dqn.options import DQNOptions, check_option_names
from algorithms.dqn.policy_file import (
    POLICY_FILE,
    damage_is_said,
    network_of,
    policy_folder,
    read_policy_file,
    write_policy_file,
)
from algorithms.dqn.q_network import QNetwork
from arcadia.errors import UserError
from arcadia.typed import from_json

if TYPE_CHECKING:
    from algorithms.dqn.policy_env import PolicyEnv

__all__ = ["POLICY_FILE", "Policy", "TrainedPolicy", "load_policy", "read_policy", "write_policy"]
_KIND = "dqn"


class TrainedPolicy:
    """What policies of all algorithms have in common.

    Attributes:
        networks: Their Q-networks, in evaluation mode, in the order of the algorithm's modules.
        options: What it was trained with.
        step: Steps of training it had taken.
        observation_shape: Of one observation: (K, H, W) or (K, C, H, W) uint8 for K stacked images,
            (D,) float32 for vectors.
        action_space: The environment's own.
    """

    def __init__(
        self,
        networks: tuple[QNetwork, ...],
        options: DQNOptions,
        *,
        observation_shape: tuple[int, ...],
        action_space: gym.spaces.Discrete,
        step: int,
        seed: int | None = None,
    ) -> None:
        self.networks = tuple(network.eval().requires_grad_(False) for network in networks)
        self.options = options
        self.step = step
        self.observation_shape = observation_shape
        self.action_space = action_space
        self._rng = np.random.default_rng(seed)

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

    def check_played(self, options: DQNOptions, where: str) -> None:
        """Refuses the policy of one game where another is played.

        Raises:
            UserError: they differ, naming both; `where` says what holds the policy.
        """
        learnt, plays = (o.game or o.env for o in (self.options, options))
        if learnt != plays:
            raise UserError(
                f'{where}: holds the network of another game: it learnt "{learnt}", and "{plays}" '
                "is what the run plays"
            )

    def _seen(self, observation: np.ndarray) -> tuple[torch.Tensor, bool]:
        """A batch as networks take it, and whether it is of one observation given alone.

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
        device = next(self.networks[0].parameters()).device
        return torch.from_numpy(np.ascontiguousarray(batch)).to(device), alone

    def _chosen(self, values: np.ndarray, deterministic: bool) -> np.ndarray:
        """Numbers of the greatest of values (*, A); else with `epsilon_eval` random ones."""
        chosen = values.argmax(axis=-1)
        if deterministic:
            return chosen
        random = self._rng.random(chosen.shape) < self.options.epsilon_eval
        others = self._rng.integers(values.shape[-1], size=chosen.shape)
        return np.where(random, others, chosen)[()]


class Policy(TrainedPolicy):
    """Chooses actions for observations; see `TrainedPolicy` for its attributes."""

    def __init__(self, network: QNetwork, options: DQNOptions, **about: Any) -> None:
        super().__init__((network,), options, **about)

    @property
    def network(self) -> QNetwork:
        """The Q-network."""
        return self.networks[0]

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
        chosen = self._chosen(self.q_values(observation), deterministic)
        return chosen + np.int64(self.action_space.start)

    def q_values(self, observation: np.ndarray) -> np.ndarray:
        """Values of all actions: (A,) float32 of one observation, (B, A) of a batch.

        Raises:
            ValueError: The observation has another shape or dtype.
        """
        batch, alone = self._seen(observation)
        with torch.inference_mode():
            values = self.network(batch).cpu().numpy()
        return values[0] if alone else values


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
    return read_policy(policy_folder(run, checkpoint, _KIND), device=device, seed=seed)


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
    write_policy_file(
        folder,
        _KIND,
        network.state_dict(),
        network=arguments,
        options=options,
        actions=[int(action_space.n), int(action_space.start)],
        step=step,
    )


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
    path, weights, described = read_policy_file(folder, _KIND, "DQN")
    with damage_is_said(path):
        options, arguments = described["options"], described["network"]
        number, first = described["actions"]
        if number != (values := arguments["num_actions"]):
            raise ValueError(f"{number} actions, and values of {values}")
        check_option_names(options)
        network = network_of(lambda: QNetwork(**arguments), weights)
        shape = tuple(arguments["observation_shape"])
        return Policy(
            network.to(device),
            from_json(DQNOptions, options),
            observation_shape=shape if network.is_image else shape[1:],
            action_space=gym.spaces.Discrete(number, start=first),
            step=described["step"],
            seed=seed,
        )
