"""h-DQN as an RLlib algorithm: DQN with one more level."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS

from algorithms.dqn.algorithm import DQN
from algorithms.dqn.distributed import Distributed
from algorithms.dqn.one_process import OneProcess
from algorithms.dqn.options import DQNOptions
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.distributed import DistributedHierarchy
from algorithms.hdqn.one_process import OneHierarchy
from algorithms.hdqn.options import CONTROLLER, META, HDQNOptions
from algorithms.hdqn.policy import read_policy, write_policy
from algorithms.hdqn.runner import HDQNRunner


class HDQN(DQN):
    """Hierarchical DQN (Kulkarni et al. 2016, algorithm 1) with the options of `HDQNOptions`."""

    config: HDQNConfig  # type: ignore[assignment]
    options: HDQNOptions  # type: ignore[assignment]
    runner: HDQNRunner  # type: ignore[assignment]
    _loop_class: ClassVar[type[OneProcess]] = OneHierarchy

    @classmethod
    def get_default_config(cls) -> HDQNConfig:
        """Without an environment."""
        return HDQNConfig()

    def level_options(self) -> dict[str, DQNOptions]:
        """How controller and meta-controller are learned."""
        return {CONTROLLER: self.options.controller, META: self.options.meta}

    def _make_distributed(self, *args: Any) -> Distributed:
        return DistributedHierarchy(self.runner, *args)

    def _first_step(self, level: str) -> int:
        """The meta-controller learns in phase 2."""
        return self.options.phase1_steps if level == META else 0

    def _replay_arguments(self, level: str) -> dict[str, Any]:
        """The controller's replay holds frames and what the critic paid; that of the
        meta-controller whole states, and what the environment paid from one to the next."""
        arguments = super()._replay_arguments(level)
        if level == CONTROLLER:
            return arguments | {"clip_rewards": False}
        return arguments | {
            "frame_shape": self.runner.stacks.observation.shape[1:],
            "stack": 1,
            "discount_durations": self.options.meta_discount == "step",
        }

    def step(self) -> dict[str, Any]:
        """One training iteration: DQN's results, and `goals`, see there."""
        result = super().step()
        result["goals"] = self.goals()
        result[ENV_RUNNER_RESULTS]["meta_epsilon"] = self.runner.meta_epsilon
        return result

    def goals(self) -> dict[str, dict[str, Any]]:
        """Of each goal, by its name: `tried`, `reached`, `success_rate` and `epsilon`."""
        rows = self.runner.statistics.rows(self.runner.goal_epsilon)
        columns = ("tried", "reached", "success_rate", "epsilon")
        return {name: dict(zip(columns, row, strict=True)) for name, *row in rows}

    def _write_policy(self, folder: Path) -> None:
        runner = self.runner
        write_policy(
            folder,
            {name: module.online for name, module in runner.modules.items()},
            self.options,
            arguments={name: module.arguments for name, module in runner.modules.items()},
            goals=runner.goals.names,
            goal_inputs=runner.goal_inputs,
            action_space=runner.frames.action_space,
            step=self.num_env_steps,
        )

    def _check_checkpoint(self, folder: str, path: str) -> None:
        policy, runner = read_policy(folder), self.runner
        policy.check_played(self.options, path)
        policy.check_goals(runner.goals.names, runner.goal_inputs, path)
