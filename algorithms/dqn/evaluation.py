"""Playing a trained policy: whole episodes with a small epsilon, beside a random player."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from ray.rllib.core import DEFAULT_MODULE_ID as MODULE
from ray.rllib.core.rl_module import RLModule
from rich.console import Console
from rich.table import Table

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.networks import DQNModule
from algorithms.dqn.options import DQNOptions, check_option_names
from algorithms.dqn.runner import DQNRunner
from arcadia.errors import UserError
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions

_MODULE = Path(COMPONENT_LEARNER_GROUP) / COMPONENT_LEARNER / COMPONENT_RL_MODULE / MODULE


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of whole episodes, in the game's own points."""

    returns: list[float]
    lengths: list[int]

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(np.mean(self.returns))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; nan for one episode."""
        if len(self.returns) < 2:
            return float("nan")
        return float(np.std(self.returns, ddof=1) / np.sqrt(len(self.returns)))

    @property
    def best(self) -> float:
        """Best score."""
        return float(np.max(self.returns))


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
    run: RunFolder, *, num_envs: int, seed: int | None, picture: bool = False
) -> DQNRunner:
    """A runner that plays a run's latest checkpoint with `epsilon_eval`.

    Args:
        run: A run of DQN.
        num_envs: Environments played side by side.
        seed: Of the environments and of the random actions.
        picture: Make Gymnasium environments with the render mode `rgb_array`.

    Raises:
        UserError: the run has no checkpoint, or one that does not hold a Q-network.
    """
    checkpoint = run.latest_checkpoint()
    if checkpoint is None:
        raise UserError(f"{run.storage.shown()}: has no checkpoint yet; train for longer")
    config = config_of(options_of(run), seed)
    config.num_envs_per_env_runner = num_envs
    config.in_evaluation = True
    if picture and config.env is not None:
        config.environment(env_config={"render_mode": "rgb_array"})
    runner = DQNRunner(config=config, worker_index=0)
    try:
        module = RLModule.from_checkpoint(checkpoint / _MODULE)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{checkpoint}: holds no network of DQN ({error})") from error
    assert isinstance(module, DQNModule)
    runner.use_module(module)
    return runner


def play(runner: DQNRunner, num_episodes: int, epsilon: float | None) -> Scores:
    """Plays whole episodes.

    Args:
        runner: Who plays.
        num_episodes: How many.
        epsilon: Chance of a random action; None: `epsilon_eval`; 1: the random player.
    """
    episodes = runner.play_episodes(num_episodes, epsilon)
    return Scores(returns=[e.return_ for e in episodes], lengths=[e.length for e in episodes])


def evaluate(run: RunFolder, command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate RUN`: the latest checkpoint and a random player, episode for episode."""
    options = options_of(run)
    seed = command.seed if command.seed is not None else 0
    epsilon = options.epsilon_eval if command.epsilon is None else command.epsilon
    num_envs = min(command.num_envs, command.episodes)
    scores = {}
    for player, chance in ((f"DQN, epsilon {epsilon:g}", epsilon), ("random", 1.0)):
        runner = load_runner(run, num_envs=num_envs, seed=seed)
        scores[player] = play(runner, command.episodes, chance)
        runner.stop()
    name = options.game or options.env
    table = Table(title=f"{name}: {command.episodes} episodes each")
    for column in ("player", "mean", "standard error", "best", "mean length"):
        table.add_column(column, justify="left" if column == "player" else "right")
    rows = []
    for player, score in scores.items():
        length = sum(score.lengths) / len(score.lengths)
        rows.append([player, score.mean, score.standard_error, score.best, length])
        table.add_row(player, *(f"{value:.2f}" for value in rows[-1][1:]))
    Console().print(table)
    policy, baseline = scores.values()
    result = {
        "run": run.uri,
        "checkpoint_step": run.checkpoints()[-1],
        "episodes": command.episodes,
        "epsilon": epsilon,
        "seed": seed,
        "mean": policy.mean,
        "standard_error": policy.standard_error,
        "best": policy.best,
        "returns": policy.returns,
        "random_mean": baseline.mean,
        "random_standard_error": baseline.standard_error,
        "random_returns": baseline.returns,
        "rows": rows,
    }
    run.write_json("evaluation.json", result)
    return result
