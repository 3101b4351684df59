"""Loading a trained policy and playing it."""

from __future__ import annotations

from pathlib import Path

from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from ray.rllib.core import DEFAULT_MODULE_ID as MODULE
from ray.rllib.core.rl_module import RLModule

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.networks import DQNModule
from algorithms.dqn.options import DQNOptions, check_option_names
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.scores import Scores
from arcadia.errors import UserError
from arcadia.runs import RunFolder

_MODULE = Path(COMPONENT_LEARNER_GROUP) / COMPONENT_LEARNER / COMPONENT_RL_MODULE / MODULE


def options_of(run: RunFolder) -> DQNOptions:
    """The options a run was made with.

    Raises:
        UserError: the run's config holds an option that this version does not know.
    """
    options = run.config["options"]
    check_option_names(options)
    return DQNOptions(**options)


def config_of(options: DQNOptions, seed: int | None) -> DQNConfig:
    """An RLlib config of resolved options."""
    config = DQNConfig()
    for name in options.__dataclass_fields__:
        setattr(config, name, getattr(options, name))
    return config.debugging(seed=seed)


def load_runner(
    run: RunFolder,
    *,
    num_envs: int,
    seed: int | None,
    picture: bool = False,
    checkpoint: str = "last",
) -> DQNRunner:
    """A runner that plays a run's checkpoint with `epsilon_eval`.

    Args:
        run: A run of DQN.
        num_envs: Environments played side by side.
        seed: Of the environments and of the random actions.
        picture: Make Gymnasium environments with the render mode `rgb_array`.
        checkpoint: `last`, `best` or a step; see `RunFolder.find_checkpoint`.

    Raises:
        UserError: the run has no such checkpoint, or one that holds no network of DQN or one for
            something else than the run plays.
    """
    folder, _ = run.find_checkpoint(checkpoint)
    options = options_of(run)
    config = config_of(options, seed)
    config.num_envs_per_env_runner = num_envs
    config.in_evaluation = True
    if picture and config.env is not None:
        config.environment(env_config={"render_mode": "rgb_array"})
    module = _load_module(folder)
    runner = DQNRunner(config=config, worker_index=0)
    plays, learnt = runner.module, module
    for what in ("observation_space", "action_space"):
        if getattr(plays, what) != getattr(learnt, what):
            runner.stop()
            raise UserError(
                f"{folder}: holds a network of another game: its {what} is "
                f"{getattr(learnt, what)}, that of the run's {options.game or options.env} is "
                f"{getattr(plays, what)}"
            )
    runner.use_module(module)
    return runner


def _load_module(checkpoint: Path) -> DQNModule:
    try:
        module = RLModule.from_checkpoint(checkpoint / _MODULE)
    except Exception as error:  # what unpickling a damaged or foreign file raises has no end
        raise UserError(
            f"{checkpoint}: holds no network of DQN ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(module, DQNModule):
        raise UserError(f"{checkpoint}: holds a {type(module).__name__}, no network of DQN")
    return module


def play(runner: DQNRunner, num_episodes: int, epsilon: float | None) -> Scores:
    """Plays whole episodes.

    Args:
        runner: Who plays.
        num_episodes: How many.
        epsilon: Chance of a random action; None: `epsilon_eval`; 1: the random player.
    """
    episodes = runner.play_episodes(num_episodes, epsilon)
    return Scores(returns=[e.return_ for e in episodes], lengths=[e.length for e in episodes])
