"""DQN's RLlib configuration: an ordinary AlgorithmConfig whose own part is `DQNOptions`."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module import RLModuleSpec
from ray.rllib.utils import force_list
from ray.rllib.utils.from_config import NotProvided

from algorithms.dqn.options import DQNOptions, option_names
from algorithms.dqn.presets import preset
from algorithms.envs import check_env, check_game
from arcadia.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from algorithms.dqn.policy import TrainedPolicy

# In evaluations during training: the 2015 paper's five minutes of play, and episodes side by side.
_EVALUATION_FRAMES = 18_000
_EVALUATION_ENVS = 32
_EVALUATION_TIMEOUT_S = 3_600.0

_RLLIB_TRAINING = tuple(inspect.signature(AlgorithmConfig.training).parameters)[1:]

# RLlib settings that this algorithm has its own word for, or does not take: never ignored.
_INSTEAD = {
    "train_batch_size": "batch_size",
    "train_batch_size_per_learner": "batch_size",
    "minibatch_size": "batch_size and updates_per_call",
    "num_epochs": "updates_per_step",
    "num_sgd_iter": "updates_per_step",
    "shuffle_batch_per_epoch": None,
    "model": "network and hidden_size",
    "grad_clip": "max_gradient_norm",
    "grad_clip_by": "max_gradient_norm",
    "_learner_connector": None,
    "num_aggregator_actors_per_learner": None,
    "_model_config": "network and hidden_size",
    "num_gpus": "num_gpus_per_learner",
    "exploration_config": "epsilon_start, epsilon_end and epsilon_decay_frames",
    "batch_mode": None,
    "_env_to_module_connector": "a Gymnasium wrapper",
    "_module_to_env_connector": "a Gymnasium wrapper",
    "observation_filter": "a Gymnasium wrapper",
    "episode_lookback_horizon": "frame_stack",
    "compress_observations": "replay_compression",
    "gym_env_vectorize_mode": None,
    "remote_worker_envs": None,
    "num_gpus_per_env_runner": None,
    "algorithm_config_overrides_per_module": None,
    "torch_compile_learner": None,
    "torch_compile_worker": None,
    "torch_skip_nan_gradients": None,
    "_torch_grad_scaler_class": None,
    "_torch_lr_scheduler_classes": "lr_schedule",
    "log_gradients": None,
    "output": None,
    "callbacks_on_episode_created": "on_episode_start",
    "callbacks_on_episode_step": "on_episode_end",
}
_CALLBACKS_NOT_TAKEN = ("on_episode_created", "on_episode_step")


class DQNConfig(AlgorithmConfig):
    """Configures :class:`~algorithms.dqn.algorithm.DQN`.

    Every field of :class:`~algorithms.dqn.options.DQNOptions` is an attribute of this config, an
    argument of :meth:`training` and a key of a Tune search space; RLlib's own settings
    (`environment`, `callbacks`, `evaluation`, `debugging(seed=...)`) work beside them.

    Example:
        algo = DQNConfig.preset("nips2013", game="pong").build_algo()

    Raises:
        AttributeError: for a name that is neither an option nor a setting of RLlib, naming the
            nearest; also through `update_from_dict` and a Tune search space.
    """

    options_class: ClassVar[type[DQNOptions]] = DQNOptions

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or self._algorithm_class())
        for field in dataclasses.fields(self.options_class):
            setattr(self, field.name, field.default)
        self.env_runner_cls = self._runner_class()
        self._dont_auto_sync_env_runner_states = True  # the loop sends the network out itself
        self.restart_failed_env_runners = False  # it replaces them itself, too
        # Actors start side by side: what they all must know is asked of the runner that is here.
        self.create_env_on_local_worker = True
        self.validate_env_runners_after_construction = False
        self.exploration_config = {}  # the runner's epsilon is the exploration
        self._is_complete = True

    @classmethod
    def _algorithm_class(cls) -> type:
        from algorithms.dqn.algorithm import DQN

        return DQN

    @classmethod
    def _runner_class(cls) -> type:
        from algorithms.dqn.runner import DQNRunner

        return DQNRunner

    @classmethod
    def read_policy(cls, folder: str | os.PathLike[str]) -> TrainedPolicy:
        """The policy in a checkpoint's folder.

        Raises:
            UserError: There is none, or one that cannot be read.
        """
        from algorithms.dqn.policy import read_policy

        return read_policy(folder)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of all options."""
        return option_names(cls.options_class)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """A config with the options of a preset; see :func:`algorithms.dqn.presets.preset`."""
        return cls.of_options(preset(name, **overrides))

    @classmethod
    def of_options(cls, options: DQNOptions) -> Self:
        """A config with resolved options."""
        config = cls()
        for field, value in dataclasses.asdict(options).items():
            setattr(config, field, value)
        return config

    @property
    def options(self) -> DQNOptions:
        """The options, checked.

        Raises:
            UserError: for a value that cannot work.
        """
        values = {name: getattr(self, name) for name in self.option_names()}
        if self.in_evaluation:  # RLlib's counts are then of what evaluates; it alone is there
            values |= {name: 1 for name in values if name.endswith("num_replay_shards")}
            values["num_learners"] = 0
        return self.options_class(**values)

    def training(self, **kwargs: Any) -> Self:  # type: ignore[override]
        """Sets any option of `DQNOptions`, or an argument of RLlib's `training` that fits.

        Raises:
            UserError: for a name that is neither, or an RLlib setting that has no meaning here.
        """
        rllib = {}
        for name, value in kwargs.items():
            if value is NotProvided:
                continue
            if name in self.option_names():
                setattr(self, name, value)
            elif name in _INSTEAD:
                # RLlib hands whole configs around, so that its own defaults come by here too.
                if value != getattr(AlgorithmConfig(), name, None):
                    raise UserError(_refusal(name))
            elif name in _RLLIB_TRAINING:
                rllib[name] = value
            else:
                near = did_you_mean(name, self.option_names() + _RLLIB_TRAINING)
                who = self.options_class.algorithm_name
                raise UserError(f"{name}: no option of {who}{near}")
        super().training(**rllib)
        return self

    def check_played(self) -> None:
        """Refuses a game or an environment that there is not.

        Raises:
            UserError: naming what is near.
        """
        if self.options.game is None and self.env is None:
            raise UserError('game and env are both unset: give one, such as game="pong"')
        if self.options.game is not None:
            check_game(self.options.game)
        elif isinstance(self.env, str):
            check_env(self.env)

    def validate(self) -> None:
        """Checks options and settings together.

        Raises:
            UserError: for what cannot work, in one line.
        """
        self.check_played()
        if not (self.enable_rl_module_and_learner and self.enable_env_runner_and_connector_v2):
            raise UserError("api_stack: DQN runs on RLlib's new API stack only; leave it enabled")
        if self.is_multi_agent:
            raise UserError("multi_agent: DQN plays one agent; remove policies")
        if self.is_offline:
            raise UserError("offline_data: DQN learns from its own environments; remove input_")
        if self.framework_str != "torch":
            raise UserError(f'framework "{self.framework_str}": DQN is written in torch')
        default = AlgorithmConfig()
        default.num_learners = self.num_learners  # others of RLlib's settings follow from it
        # RLlib sets some of them itself in the config of its evaluation.
        for name in () if self.in_evaluation else _INSTEAD:
            if getattr(self, name, None) != getattr(default, name, None):
                raise UserError(_refusal(name))
        for callbacks in force_list(self.callbacks_class):
            for name in _CALLBACKS_NOT_TAKEN:
                theirs = getattr(RLlibCallback, name)
                if getattr(callbacks, name, theirs) is not theirs:
                    raise UserError(f"{callbacks.__name__}.{_refusal(f'callbacks_{name}')}")
        self._evaluate_periodically(self.options)
        super().validate()

    def _evaluate_periodically(self, options: DQNOptions) -> None:
        """Makes RLlib evaluate as the options ask, unless `evaluation()` was called for more."""
        if self.evaluation_interval is not None or options.eval_period_frames == 0:
            return
        period = options.steps(options.eval_period_frames)
        cut = min(options.max_episode_frames, _EVALUATION_FRAMES)
        self.evaluation(
            evaluation_interval=max(1, round(period / options.steps_per_iteration)),
            evaluation_duration=options.eval_episodes,
            evaluation_duration_unit="episodes",
            # Where actors play, one evaluates, too: frames never come to the driver.
            evaluation_num_env_runners=int(options.is_distributed),
            evaluation_sample_timeout_s=_EVALUATION_TIMEOUT_S,
            evaluation_config=type(self).overrides(
                num_envs_per_env_runner=min(options.eval_episodes, _EVALUATION_ENVS),
                max_episode_frames=cut,
            ),
        )

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The Q-network's module."""
        from algorithms.dqn.networks import DQNModule

        arguments = self.module_arguments(self.options)
        return RLModuleSpec(module_class=DQNModule, model_config=arguments)

    @staticmethod
    def module_arguments(options: DQNOptions) -> dict[str, Any]:
        """What a `DQNModule` is built with."""
        return {
            "network": options.network,
            "hidden_size": options.hidden_size,
            "dueling": options.dueling,
            "double": options.double,
            "use_target": options.target_update_period > 0,
            "num_atoms": options.num_atoms,
            "v_min": options.v_min,
            "v_max": options.v_max,
            "activation": options.network_values(),
        }

    def get_default_learner_class(self) -> type:
        """The learner."""
        from algorithms.dqn.learner import DQNLearner

        return DQNLearner

    def __setattr__(self, key: str, value: Any) -> None:
        # RLlib would silently make a new attribute of a misspelt key.
        if getattr(self, "_is_complete", False) and not key.startswith("_"):
            known = _attribute_names(self)
            if key not in known:
                near = did_you_mean(key, known)
                who = self.options_class.algorithm_name
                raise UserError(f"{key}: neither an option of {who} nor a setting of RLlib{near}")
        super().__setattr__(key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)


def _attribute_names(config: DQNConfig) -> list[str]:
    """What may be set: options first, so that the nearest name is one of them where two tie."""
    properties = [
        name
        for name in dir(type(config))
        if isinstance(getattr(type(config), name, None), property) and not name.startswith("_")
    ]
    return [
        *config.option_names(),
        *(k for k in vars(config) if not k.startswith("_")),
        *properties,
    ]


def _refusal(name: str) -> str:
    instead = _INSTEAD[name]
    way_out = f"use {instead}" if instead else "remove it"
    name = name.removeprefix("callbacks_").lstrip("_")
    return f"{name}: a setting of RLlib that DQN does not take; {way_out}"


def show_options(config_class: type[DQNConfig]) -> None:
    """Has editors and `help` show the options as keyword arguments of `training`."""
    own = dataclasses.fields(config_class.options_class)
    keyword = inspect.Parameter.KEYWORD_ONLY
    config_class.training.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(
                inspect.Parameter(f.name, keyword, default=f.default, annotation=f.type)
                for f in own
            ),
            inspect.Parameter("rllib", inspect.Parameter.VAR_KEYWORD),
        ]
    )


show_options(DQNConfig)
