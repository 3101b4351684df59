"""`arcadia export` of h-DQN: both networks as ONNX, checked against the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from algorithms.dqn.export import Exported, observations_of, write_files
from algorithms.dqn.q_network import QNetwork
from algorithms.hdqn.joined import join_goal
from algorithms.hdqn.policy import load_policy
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import ExportOptions

CONTROLLER_FILE, META_FILE = "controller.onnx", "meta.onnx"


class _Controller(nn.Module):
    """The controller with the goals in it, so that a goal is given by its number."""

    def __init__(self, network: QNetwork, goal_inputs: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("goal_inputs", goal_inputs)

    def forward(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Q-values (B, A) of observations towards goals, (B,) int64."""
        return self.network(join_goal(observation, self.get_buffer("goal_inputs")[goal]))


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """Writes `controller.onnx` and `meta.onnx` into a run.

    The controller's inputs are `observation`, as of DQN's file, and `goal`, (batch,) int64, the
    goals' numbers; its output is `q_values`, (batch, A) float32. The meta-controller's input is
    `observation`, its output `goal_values`, (batch, G). The files' metadata hold the goals' names.

    Returns:
        As `algorithms.dqn.export.export`; `onnx` is a list of both paths.

    Raises:
        UserError: the packages are missing, or the run has no such checkpoint.
        RuntimeError: a file gives other values than its network; nothing was written.
    """
    policy = load_policy(run.uri, command.checkpoint)
    controller, meta = policy.networks
    seen = {"observation": observations_of(run, policy)}
    goals = np.arange(len(seen["observation"])) % len(policy.goals)
    towards = _Controller(controller, policy.goal_inputs).eval()
    parts = {
        CONTROLLER_FILE: Exported(towards, seen | {"goal": goals}, "q_values"),
        META_FILE: Exported(meta, seen, "goal_values"),
    }
    return write_files(run, policy, parts, goals=list(policy.goals))
