"""A trained policy of two levels outside Ray: one file that holds both networks and the goals.

It needs torch and numpy; Ray is neither started nor imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from algorithms.dqn.options import DQNOptions, check_option_names
from algorithms.dqn.policy import TrainedPolicy
from algorithms.dqn.policy_file import (
    damage_is_said,
    network_of,
    policy_folder,
    read_policy_file,
    write_policy_file,
)
from algorithms.dqn.q_network import QNetwork
from algorithms.hdqn.joined import join_goal
from algorithms.hdqn.options import CONTROLLER, META, HDQNOptions
from arcadia.errors import UserError
from arcadia.typed import from_json

_KIND = "hdqn"
_INPUTS = "goal_inputs"


class HierarchicalPolicy(TrainedPolicy):
    """Chooses goals for observations, and actions towards them; see `TrainedPolicy` for its other
    attributes.

    When a goal is over, because it is reached or the episode is, is for the caller to say: the file
    holds no code, and so no `GoalSpace`.

    Attributes:
        goals: The goals' names, G, in the order of their numbers.
        goal_inputs: (G, H, W) uint8 or (G, F) float32, what the controller sees of them.

    Example:
        policy = load_policy("runs/hdqn")
        goal = policy.choose_goal(observation)
        while not over:
            observation, *_ = env.step(policy.predict(observation, goal))
    """

    def __init__(
        self,
        controller: QNetwork,
        meta: QNetwork,
        options: DQNOptions,
        *,
        goals: Sequence[str],
        goal_inputs: Tensor,
        **about: Any,
    ) -> None:
        super().__init__((controller, meta), options, **about)
        self.goals = tuple(goals)
        self.goal_inputs = goal_inputs

    def choose_goal(
        self, observation: np.ndarray, deterministic: bool = True
    ) -> np.int64 | np.ndarray:
        """Numbers of the goals that the meta-controller picks.

        Args:
            observation: As `Policy.predict` takes it.
            deterministic: The goal of greatest value; else with `epsilon_eval` a random one.

        Returns:
            A number from 0 to G - 1, or (B,) int64 of a batch.

        Raises:
            ValueError: The observation has another shape or dtype.
        """
        return self._chosen(self.goal_values(observation), deterministic)

    def predict(
        self, observation: np.ndarray, goal: int | np.ndarray, deterministic: bool = True
    ) -> np.int64 | np.ndarray:
        """Chooses actions.

        Args:
            observation: As `Policy.predict` takes it.
            goal: What is pursued: a goal's number, or (B,) of a batch.
            deterministic: The action of greatest value; else with `epsilon_eval` a random one.

        Returns:
            An action of the environment's, or (B,) int64 of a batch.

        Raises:
            ValueError: The observation has another shape or dtype, or there is no such goal.
        """
        chosen = self._chosen(self.q_values(observation, goal), deterministic)
        return chosen + np.int64(self.action_space.start)

    def goal_values(self, observation: np.ndarray) -> np.ndarray:
        """The meta-controller's values of all goals: (G,) float32, or (B, G) of a batch.

        Raises:
            ValueError: The observation has another shape or dtype.
        """
        batch, alone = self._seen(observation)
        with torch.inference_mode():
            values = self.networks[1](batch).cpu().numpy()
        return values[0] if alone else values

    def q_values(self, observation: np.ndarray, goal: int | np.ndarray) -> np.ndarray:
        """The controller's values of all actions: (A,) float32, or (B, A) of a batch.

        Raises:
            ValueError: The observation has another shape or dtype, or there is no such goal.
        """
        batch, alone = self._seen(observation)
        goals = np.broadcast_to(np.asarray(goal, np.int64), len(batch))
        if goals.size and not 0 <= goals.min() <= goals.max() < len(self.goals):
            raise ValueError(f"goal {goal}: goals are numbered from 0 to {len(self.goals) - 1}")
        with torch.inference_mode():
            inputs = self.goal_inputs[torch.from_numpy(goals.copy())].to(batch.device)
            values = self.networks[0](join_goal(batch, inputs)).cpu().numpy()
        return values[0] if alone else values

    def check_goals(self, names: Sequence[str], inputs: np.ndarray, where: str) -> None:
        """Refuses to go for other goals than those that were learnt.

        Raises:
            UserError: names or inputs differ; `where` says what holds the policy.
        """
        if self.goals != tuple(names):
            raise UserError(
                f"{where}: learnt the goals {', '.join(self.goals)}, and the run plays for "
                f"{', '.join(names)}; play for the goals that were trained"
            )
        if not np.array_equal(self.goal_inputs.numpy(), inputs):
            raise UserError(
                f"{where}: learnt goals of the same names that looked different to the controller; "
                "play for the goals that were trained"
            )


def load_policy(
    run: str | os.PathLike[str],
    checkpoint: str = "last",
    *,
    device: str | torch.device = "cpu",
    seed: int | None = None,
) -> HierarchicalPolicy:
    """Loads the policy of a run of h-DQN, without Ray.

    Args:
        run: Folder or address of a run, or a folder that `HDQN.save_to_path` wrote.
        checkpoint: "last", "best" (in evaluation during training) or a step; of a run.
        device: Where the networks go.
        seed: Of random goals and actions, where `deterministic` is False.

    Raises:
        UserError: There is no such run or checkpoint, or its policy cannot be read.
    """
    return read_policy(policy_folder(run, checkpoint, _KIND), device=device, seed=seed)


def write_policy(
    folder: str | os.PathLike[str],
    networks: Mapping[str, QNetwork],
    options: DQNOptions,
    *,
    arguments: Mapping[str, dict[str, Any]],
    goals: Sequence[str],
    goal_inputs: np.ndarray,
    action_space: gym.spaces.Discrete,
    step: int,
) -> None:
    """Writes a policy into a folder, as `POLICY_FILE`.

    Args:
        folder: Where to.
        networks: By module; their weights are written.
        options: What they were trained with.
        arguments: By module, what makes a network like it.
        goals: Names.
        goal_inputs: What `GoalSpace.inputs` gives.
        action_space: The environment's.
        step: Steps of training taken.
    """
    weights = {
        f"{module}.{name}": value
        for module, network in networks.items()
        for name, value in network.state_dict().items()
    }
    write_policy_file(
        folder,
        _KIND,
        weights | {_INPUTS: torch.from_numpy(goal_inputs)},
        networks=dict(arguments),
        options=options,
        goals=list(goals),
        actions=[int(action_space.n), int(action_space.start)],
        step=step,
    )


def read_policy(
    folder: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    seed: int | None = None,
) -> HierarchicalPolicy:
    """The policy in a checkpoint's folder; see `load_policy`.

    Raises:
        UserError: There is none, or one that is damaged or of something else.
    """
    path, weights, described = read_policy_file(folder, _KIND, "h-DQN")
    with damage_is_said(path):
        options, arguments = described["options"], described["networks"]
        number, first = described["actions"]
        if number != (values := arguments[CONTROLLER]["num_actions"]):
            raise ValueError(f"{number} actions, and values of {values}")
        check_option_names(options, HDQNOptions)
        networks = {}
        for name in (CONTROLLER, META):
            start, of_this = f"{name}.", arguments[name]
            own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
            networks[name] = network_of(lambda of_this=of_this: QNetwork(**of_this), own)
        shape = tuple(arguments[META]["observation_shape"])
        return HierarchicalPolicy(
            networks[CONTROLLER].to(device),
            networks[META].to(device),
            from_json(HDQNOptions, options),
            goals=described["goals"],
            goal_inputs=weights[_INPUTS],
            observation_shape=shape if networks[META].is_image else shape[1:],
            action_space=gym.spaces.Discrete(number, start=first),
            step=described["step"],
            seed=seed,
        )
