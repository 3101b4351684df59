"""What DQN's commands do: train, evaluate, watch, report; and training, for what builds on it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import tyro

from algorithms.dqn.options import DQNOptions, options_of
from algorithms.dqn.presets import preset
from arcadia.errors import UserError, said_of
from arcadia.options import CommonOptions, command_words, parse, peek
from arcadia.runs import RunFolder
from arcadia.typed import from_json

if TYPE_CHECKING:
    from algorithms.dqn.config import DQNConfig
    from algorithms.dqn.training import Training
    from arcadia.commands import EvaluateOptions, ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

# What may differ when a run goes on: how long it goes, where, on how many actors, and what is kept
# and said of it.
_MAY_CHANGE = (
    "total_frames",
    "steps_per_iteration",
    "num_gpus_per_learner",
    "num_env_runners",
    "num_replay_shards",
    "meta_num_replay_shards",  # of h-DQN
    "num_learners",
    "num_cpus_per_replay_shard",
    "rollout_fragment_length",
    "weights_period",
    "learner_snapshot_period",
    "compile",
    "save_replay",
    "eval_period_frames",
    "eval_episodes",
)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """Trains DQN (Mnih et al. 2013) on an Atari game or a Gymnasium environment."""

    kind: ClassVar[str] = "dqn"
    """Of the runs that are made."""
    to_play: ClassVar[str] = "game: give --game, such as --game pong, or --env"
    """What is said where there is nothing to play."""
    options_class: ClassVar[type[DQNOptions]] = DQNOptions

    preset: str = "fast"
    """Where the defaults below come from: fast (learns soonest on a small machine), nips2013 (the
    2013 paper to the letter), nature2015, or rainbow (2018, without its noisy layers)."""
    resume: str | None = None
    """Run to go on with; its options stay, other ones are refused."""
    seeds: int | None = None
    """Train so many seeds side by side, `seed` and those that follow it, each a run of its own in
    seed-N of the run's folder, and plot their mean and its 95 % confidence band. On a cluster of
    several machines give a run_dir that all of them see."""
    minutes: float | None = None
    """Stop after so many minutes of training, whatever total_frames says."""
    checkpoint_minutes: float = 10
    """Minutes between checkpoints; one is always written at the end."""
    options: Annotated[DQNOptions, tyro.conf.arg(name="")] = field(default_factory=DQNOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("minutes", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name} {value}: must be a finite number above 0")
        if self.seeds is not None and not 2 <= self.seeds <= 1_000:
            raise UserError(f"seeds {self.seeds}: must be between 2 and 1000")

    @classmethod
    def of_preset(cls, name: str, game: str | None) -> Self:
        """The defaults of a preset; some of them hang on the game."""
        return cls(preset=name, options=preset(name, game=game))

    def config(self) -> DQNConfig:
        """RLlib's configuration of what is trained."""
        from algorithms.dqn.config import DQNConfig

        return DQNConfig.of_options(self.options)

    @classmethod
    def training_class(cls) -> type[Training]:
        """What a run under way is."""
        from algorithms.dqn.training import Training

        return Training


def train(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia train dqn`."""
    return train_by(TrainOptions, argv, prog)


def train_by(cls: type[TrainOptions], argv: list[str], prog: str) -> dict[str, Any]:
    """Trains as a command line asks.

    Args:
        cls: What it is read as, which says what is trained.
        argv: The words after the command's name.
        prog: How help calls the command.

    Returns:
        As `Training.result`, or of several seeds as `run_seeds`.
    """
    resume = peek(argv, "--resume")
    # Some of a preset's defaults hang on the game, so both are known before the rest is read; a
    # preset that is none is refused first.
    named = cls.of_preset(peek(argv, "--preset") or "fast", peek(argv, "--game"))
    if resume is None:
        run, default = None, named
    else:
        run = RunFolder.open(resume)
        if run.kind not in (cls.kind, f"{cls.kind}-seeds"):
            raise UserError(
                f'{resume}: a run of kind "{run.kind}"; {cls.kind} cannot go on with it'
            )
        own = {name: run.config[name] for name in ("preset", "seeds") if name in run.config}
        options = options_of(run, cls.options_class)
        with said_of(run.storage.shown("config.json")):
            default = dataclasses.replace(from_json(cls, own), options=options)
    command = parse(cls, argv, prog, default)
    if run is not None:
        _refuse_contradictions(command, default, run)
    if command.seeds is None:
        from algorithms.dqn.training import run_training as run_it
    else:
        from algorithms.dqn.seeds import run_seeds as run_it
    return run_it(command, command_words(prog, argv), run)


def _refuse_contradictions(command: TrainOptions, default: TrainOptions, run: RunFolder) -> None:
    for f in dataclasses.fields(command.options):
        was, now = getattr(default.options, f.name), getattr(command.options, f.name)
        if was != now and f.name not in _MAY_CHANGE:
            raise UserError(
                f"{f.name} {now!r}: the run {run.storage.shown()} was made with {was!r}; "
                "leave the option out, or start a new run"
            )
    if command.preset != default.preset:
        raise UserError(f"preset {command.preset!r}: the run was made with {default.preset!r}")
    if command.seeds != default.seeds:
        was = "one seed" if default.seeds is None else f"{default.seeds} seeds"
        raise UserError(f"seeds {command.seeds}: the run was made with {was}; leave it out")
    if command.run_dir is not None:
        raise UserError("run_dir: a run goes on in its own folder; leave it out with --resume")
    if command.seed is not None and command.seed != run.seed:
        raise UserError(f"seed {command.seed}: the run was made with seed {run.seed}")


def options(run: RunFolder) -> DQNOptions:
    """What a run was made with."""
    return options_of(run)


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate RUN [RUN ...]`: policies and a random player, beside the paper's table."""
    from algorithms.dqn.evaluation import evaluate

    return evaluate(runs, command)


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export RUN`: the policy as ONNX."""
    from algorithms.dqn.export import export

    return export(run, command)


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch RUN`: films one episode, and draws its predicted value."""
    from algorithms.dqn.watch import watch

    return watch(run, command)


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from algorithms.dqn.pages import headline

    return headline(run, options(run))


def report(run: RunFolder) -> Report:
    """The run's report: curves, scores and film."""
    from algorithms.dqn.pages import page

    return page(run)
