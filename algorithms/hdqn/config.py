"""h-DQN's RLlib configuration: DQN's, whose own part is `HDQNOptions`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ray.rllib.core.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec

from algorithms.dqn.config import DQNConfig, show_options
from algorithms.dqn.options import DQNOptions
from algorithms.hdqn.goals import GoalSpace
from algorithms.hdqn.options import CONTROLLER, META, HDQNOptions
from algorithms.hdqn.presets import preset
from arcadia.errors import UserError, did_you_mean
from arcadia.importing import import_named

if TYPE_CHECKING:
    from algorithms.dqn.policy import TrainedPolicy

GOALS = {
    "Chain-v0": "algorithms.hdqn.chain_goals:ChainGoals",
    "KeyDoor-v0": "algorithms.hdqn.key_door:KeyDoorGoals",
    "montezuma_revenge": "algorithms.hdqn.montezuma:MontezumaGoals",
}
"""By environment or game, the goals that come with it."""


class HDQNConfig(DQNConfig):
    """Configures :class:`~algorithms.hdqn.algorithm.HDQN`; see `DQNConfig`.

    Example:
        algo = HDQNConfig().environment("KeyDoor-v0").training(phase1_frames=20_000).build_algo()
    """

    options_class: ClassVar[type[DQNOptions]] = HDQNOptions
    goals: str | None
    game: str | None

    @classmethod
    def _algorithm_class(cls) -> type:
        from algorithms.hdqn.algorithm import HDQN

        return HDQN

    @classmethod
    def _runner_class(cls) -> type:
        from algorithms.hdqn.runner import HDQNRunner

        return HDQNRunner

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """A config with the options of a preset; see :func:`algorithms.hdqn.presets.preset`."""
        return cls.of_options(preset(name, **overrides))

    @classmethod
    def read_policy(cls, folder: str | os.PathLike[str]) -> TrainedPolicy:
        """The policy of both levels in a checkpoint's folder; see `DQNConfig.read_policy`."""
        from algorithms.hdqn.policy import read_policy

        return read_policy(folder)

    @property
    def options(self) -> HDQNOptions:
        """The options, checked."""
        options = super().options
        assert isinstance(options, HDQNOptions)
        return options

    def training(self, **kwargs: Any) -> Self:  # type: ignore[override]
        """Sets any option of `HDQNOptions`, or an argument of RLlib's `training` that fits."""
        return super().training(**kwargs)

    def check_played(self) -> None:
        """DQN's, and refuses what has no goals."""
        self.make_goals()  # first: their module may register the environment
        super().check_played()

    def make_goals(self) -> GoalSpace:
        """The goals that are played for.

        Raises:
            UserError: The environment has none, or what was named is none.
        """
        what, played = ("env", self.env) if self.game is None else ("game", self.game)
        if played is None:
            raise UserError('game and env are both unset: give one, such as env="KeyDoor-v0"')
        target = self.goals or GOALS.get(str(played))
        if target is None:
            near = did_you_mean(str(played), GOALS)
            raise UserError(
                f'{what} "{played}": has no goals; give goals, module:Class of a GoalSpace for it'
                f"{near}"
            )
        if not isinstance(target, str) or not all(target.partition(":")):
            raise UserError(f"goals {target!r}: must be module:Class, the path of a GoalSpace")
        module, _, name = target.partition(":")
        try:
            goals_class = getattr(import_named(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f'goals "{target}": cannot be loaded: {error}') from error
        if not (isinstance(goals_class, type) and issubclass(goals_class, GoalSpace)):
            raise UserError(f'goals "{target}": is no GoalSpace')
        try:
            goals = goals_class.make(self.options)
        except TypeError as error:
            raise UserError(
                f'goals "{target}": cannot be made ({error}); it needs inputs and reached, and a '
                "constructor without arguments or a make of its own"
            ) from error
        if goals.needs_screen and self.game is None:
            raise UserError(f'goals "{target}": read the console\'s picture, which only a game has')
        return goals

    def get_default_rl_module_spec(self) -> MultiRLModuleSpec:  # type: ignore[override]
        """The modules of both levels."""
        from algorithms.dqn.networks import DQNModule
        from algorithms.hdqn.networks import ControllerModule

        options, inputs = self.options, self.make_goals().inputs()
        specs = {}
        for name, module_class, own in (
            (CONTROLLER, ControllerModule, options.controller),
            (META, DQNModule, options.meta),
        ):
            arguments = self.module_arguments(own)
            if name == CONTROLLER:
                arguments["goal_inputs"] = inputs
            specs[name] = RLModuleSpec(module_class=module_class, model_config=arguments)
        return MultiRLModuleSpec(rl_module_specs=specs)

    def get_multi_rl_module_spec(
        self, *, spaces: Any = None, inference_only: bool = False, **_: Any
    ) -> MultiRLModuleSpec:
        """The same with spaces, by module; RLlib's own knows modules of several agents only."""
        spec = self.get_default_rl_module_spec()
        for name, own in (spec.rl_module_specs or {}).items():
            own.observation_space, own.action_space = spaces[name]
            own.inference_only = inference_only
        return spec

    def get_default_learner_class(self) -> type:
        """The learner."""
        from algorithms.hdqn.learner import HDQNLearner

        return HDQNLearner


show_options(HDQNConfig)
