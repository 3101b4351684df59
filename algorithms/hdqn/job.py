"""What the commands of h-DQN do: train, evaluate, watch, export, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import tyro

from algorithms.dqn.job import TrainOptions, train_by
from algorithms.dqn.options import DQNOptions, options_of
from algorithms.hdqn.chain import KIND, ChainOptions, run_chain, tabular_options
from algorithms.hdqn.options import HDQNOptions
from algorithms.hdqn.presets import preset
from algorithms.hdqn.tabular import TabularOptions
from arcadia.errors import UserError, did_you_mean
from arcadia.options import command_words, parse, peek
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from algorithms.hdqn.config import HDQNConfig
    from algorithms.hdqn.training import HDQNTraining
    from arcadia.commands import EvaluateOptions, ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

_CHAIN = "chain"


@dataclass(frozen=True, kw_only=True)
class HDQNTrainOptions(TrainOptions):
    """Trains h-DQN (Kulkarni et al. 2016) on an environment that has goals: montezuma_revenge,
    KeyDoor-v0, Chain-v0, or one of your own with `--goals`. `--env chain` solves the paper's
    six-state decision process with tables instead: `--env chain --help`."""

    kind: ClassVar[str] = "hdqn"
    to_play: ClassVar[str] = (
        "env: give --env, such as --env montezuma_revenge, --env KeyDoor-v0 or --env chain"
    )
    options_class: ClassVar[type[DQNOptions]] = HDQNOptions

    preset: str = "fast"
    """Where the defaults below come from: fast (games, on a small machine), gridworld (small worlds
    of vectors, such as KeyDoor-v0) or nips2016 (the paper's agent for Montezuma's Revenge)."""
    options: Annotated[HDQNOptions, tyro.conf.arg(name="")] = field(default_factory=HDQNOptions)

    @classmethod
    def of_preset(cls, name: str, game: str | None) -> Self:
        return cls(preset=name, options=preset(name, game=game))

    def config(self) -> HDQNConfig:
        from algorithms.hdqn.config import HDQNConfig

        return HDQNConfig.of_options(self.options)

    @classmethod
    def training_class(cls) -> type[HDQNTraining]:
        from algorithms.hdqn.training import HDQNTraining

        return HDQNTraining


def train(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia train hdqn`."""
    resume, env = peek(argv, "--resume"), peek(argv, "--env")
    run = None if resume is None else RunFolder.open(resume)
    if run is not None and env is not None:
        _refuse_another(run, env)
    if env == _CHAIN if run is None else run.kind == KIND:
        return _train_chain(argv, prog, run)
    if env is not None:
        argv = _with_game(argv, env)
    return train_by(HDQNTrainOptions, argv, prog)


def _refuse_another(run: RunFolder, env: str) -> None:
    found = run.config.get("options")
    own = found if isinstance(found, dict) else {}
    played = _CHAIN if run.kind == KIND else own.get("game") or own.get("env")
    if env != played:
        raise UserError(
            f'env "{env}": the run {run.storage.shown()} was made with "{played}"; leave the '
            "option out, or start a new run"
        )


def _with_game(argv: list[str], env: str) -> list[str]:
    """The same command line; an `--env` that names an Atari game is the game.

    Raises:
        UserError: There is nothing of this name, naming what is near.
    """
    from algorithms.envs import atari_games, check_env

    if env in atari_games():
        at = max(i for i, word in enumerate(argv) if word.partition("=")[0] == "--env")
        old = 1 if "=" in argv[at] else 2
        return [*argv[:at], "--game", env, *argv[at + old :]]
    if peek(argv, "--goals") is not None:
        return argv  # their module may register it; it is checked after that
    try:
        check_env(env)
    except UserError:
        from algorithms.hdqn.config import GOALS

        near = did_you_mean(env, (_CHAIN, *GOALS, *atari_games()))
        if near:
            raise UserError(f'env "{env}": nothing that h-DQN plays{near}') from None
        raise
    return argv


def _train_chain(argv: list[str], prog: str, run: RunFolder | None) -> dict[str, Any]:
    options = TabularOptions() if run is None else tabular_options(run)
    default = ChainOptions(options=options)
    command = parse(ChainOptions, argv, prog, default)
    if run is not None:
        _refuse_contradictions(command, default, run)
    return run_chain(command, command_words(prog, argv), run)


def _refuse_contradictions(command: ChainOptions, default: ChainOptions, run: RunFolder) -> None:
    for f in dataclasses.fields(TabularOptions):
        was, now = getattr(default.options, f.name), getattr(command.options, f.name)
        if was != now:
            raise UserError(
                f"{f.name} {now!r}: the run {run.storage.shown()} was made with {was!r}; "
                "leave the option out, or start a new run"
            )
    if command.run_dir is not None:
        raise UserError("run_dir: a run goes on in its own folder; leave it out with --resume")
    if command.seed is not None and command.seed != run.seed:
        raise UserError(f"seed {command.seed}: the run was made with seed {run.seed}")


def options(run: RunFolder) -> HDQNOptions:
    """What a run was made with."""
    return options_of(run, HDQNOptions)


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from algorithms.dqn.pages import headline
    from algorithms.hdqn.pages import FIGURE

    return headline(run, options(run), FIGURE)


def report(run: RunFolder) -> Report:
    """The run's report: goals, curves of both levels, scores and film."""
    from algorithms.hdqn.pages import page

    return page(run)


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate RUN [RUN ...]`: policies and a random player, and each goal's success."""
    from algorithms.hdqn.evaluation import evaluate

    return evaluate(runs, command)


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export RUN`: both networks as ONNX."""
    from algorithms.hdqn.export import export

    return export(run, command)


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch RUN`: films one episode with its goals, and draws its predicted value."""
    from algorithms.dqn.watch import watch
    from algorithms.hdqn.watch import GoalFilm

    return watch(run, command, GoalFilm)
