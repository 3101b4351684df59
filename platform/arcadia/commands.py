"""Commands that look at any run: they load what the run's kind needs, by name."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from arcadia.errors import UserError
from arcadia.jobs import job_of
from arcadia.options import CommonOptions, bare_words, command_words, parse
from arcadia.runs import RunFolder
from arcadia.storage import Storage

_OF_PROTOCOL = {
    "episodes": ("episodes", "epsilon", "num_envs"),
    "nips2013": ("steps",),
    "nature2015": ("num_envs",),
}


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CommonOptions):
    """Plays the policies of runs, and a random player beside each, and shows their scores with the
    paper's."""

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
    ]
    """Folders or addresses of runs; of several, one table is made."""
    run_dir: str | None = None
    """Of several runs only: folder or address that gets their table as JSON and Markdown
    (seven_games.json and seven_games.md once they cover the paper's seven games, else games.*); by
    default it is only printed. Each run gets its own evaluation.json in any case."""
    seed: int | None = None
    """Seed of all random numbers, by default 0: the same evaluation gives the same scores."""
    protocol: Literal["episodes", "nips2013", "nature2015"] = "episodes"
    """episodes: so many whole ones. nips2013: a number of steps of one environment, epsilon 0.05,
    mean over the episodes that ended. nature2015: 30 episodes of at most 5 minutes (18,000 emulator
    frames), each after up to 30 no-op actions, epsilon 0.05."""
    checkpoint: str = "last"
    """last, best (the one that did best in evaluation during training), or a step."""
    episodes: int | None = None
    """Episodes to play with each player, by default 10; for the protocol episodes."""
    steps: int | None = None
    """Steps to play with each player, by default 10,000 (2013, figure 2); for the protocol
    nips2013."""
    epsilon: float | None = None
    """Chance of a random action (0 to 1), by default the run's epsilon_eval; for the protocol
    episodes."""
    num_envs: int | None = None
    """Episodes that a process plays side by side, at most, by default 8; not for nips2013."""
    num_env_runners: int = 0
    """Ray actors, of one CPU each, that share the episodes; 0: all are played in this process. Of
    nips2013, whose steps are one stretch, one for each player is of use."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise UserError("RUN: give the folder or address of at least one run")
        for name in ("episodes", "steps", "num_envs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: must be at least 1")
        if self.num_env_runners < 0:
            raise UserError(f"num_env_runners {self.num_env_runners}: must be at least 0")
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon {self.epsilon}: must be between 0 and 1")
        for name in ("episodes", "steps", "epsilon", "num_envs"):
            value = getattr(self, name)
            if value is not None and name not in _OF_PROTOCOL[self.protocol]:
                takers = [p for p, names in _OF_PROTOCOL.items() if name in names]
                raise UserError(
                    f"{name} {value}: the protocol {self.protocol} does not take it; leave it out "
                    f"or choose the protocol {' or '.join(takers)}"
                )
        if self.address is not None and self.num_env_runners == 0:
            raise UserError(
                f"address {self.address}: everything is played in this process; give "
                "num_env_runners too, or leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class WatchOptions(CommonOptions):
    """Films a run's policy at play, with its values drawn beside the picture (watch.mp4), of h-DQN
    with its goals over it, and draws the predicted value over a stretch of the game with the frames
    at its turning points (value.png)."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder or address of the run."""
    checkpoint: str = "last"
    """last, best (the one that did best in evaluation during training), or a step."""
    epsilon: float | None = None
    """Chance of a random action (0 to 1); by default the run's epsilon_eval."""
    max_seconds: float = 120
    """Seconds of film after which to stop in mid-episode."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_seconds <= 0:
            raise UserError(f"max_seconds {self.max_seconds}: must be above 0")
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon {self.epsilon}: must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CommonOptions):
    """Writes a run's policy as policy.onnx into the run, of h-DQN as controller.onnx and meta.onnx,
    after checking that it gives the same values; needs the packages of arcadia[export]."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder or address of the run."""
    checkpoint: str = "last"
    """last, best (the one that did best in evaluation during training), or a step."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions(CommonOptions):
    """Writes a run's report, one HTML page that needs no other file; or of a folder that holds runs
    or a sweep the reports of all of them, and index.html, where they can be compared."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FOLDER")]
    """Folder or address of the run, or one that holds runs, themselves or one folder further."""
    rebuild: bool = False
    """Of a folder: write all reports anew. By default those stay that are newer than their run."""


@dataclass(frozen=True, kw_only=True)
class TuneOptions(CommonOptions):
    """Runs the sweep that a Python file describes: its function `sweep()` returns the search space,
    an AlgorithmConfig with Tune's distributions in it or a Space, and a TuneConfig. Or goes on with
    one that stopped: --resume RUN."""

    file: Annotated[str | None, tyro.conf.Positional] = None
    """The Python file, such as tune_configs/dqn_pong.py; not with --resume, which takes the one
    that the sweep began with."""
    resume: str | None = None
    """Sweep to go on with; trials that failed are tried again, others go on from their last
    checkpoints."""
    num_samples: int | None = None
    """Trials to draw instead of the file's number."""
    max_concurrent_trials: int | None = None
    """Trials at once instead of the file's number; there are never more than the cluster has
    resources for."""
    max_failures: int = 1
    """How often a trial comes back from its last checkpoint after it failed or its process
    died; after that it is told as failed, and the others go on."""
    checkpoint_period: int = 25
    """Training iterations of an algorithm between two checkpoints of a trial, which a resumed one
    goes on from; trials of pipelines make one at each validation."""
    wandb: str | None = None
    """Project of Weights & Biases that gets all trials; needs the package of arcadia[wandb]."""
    mlflow: str | None = None
    """Experiment of MLflow that gets all trials, on the server of MLFLOW_TRACKING_URI; needs the
    package of arcadia[mlflow]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_samples", "max_concurrent_trials", "checkpoint_period"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: must be at least 1")
        if self.max_failures < 0:
            raise UserError(f"max_failures {self.max_failures}: must be at least 0")
        if self.resume is None and self.file is None:
            raise UserError("FILE: give the Python file of a sweep, or --resume RUN")
        if self.resume is None:
            return
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("resume", "address", "json", "debug") and value != field.default:
                raise UserError(
                    f"{field.name} {value}: a sweep that goes on keeps what it began with; leave "
                    "it out"
                )


def evaluate(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia evaluate RUN [RUN ...]`."""
    options = parse(_evaluate_options(argv), argv, prog)
    if len(options.runs) == 1:
        _refuse_run_dir(options)
    runs = [RunFolder.open(run) for run in options.runs]
    for i, run in enumerate(runs):
        job_of(run)  # refuses a kind that nobody knows
        if run.kind != runs[0].kind:
            raise UserError(
                f'{run.storage.shown()}: a run of the kind "{run.kind}" beside one of the kind '
                f'"{runs[0].kind}"; evaluate them apart'
            )
        if run.uri in (other.uri for other in runs[:i]):
            raise UserError(f"{run.storage.shown()}: is given twice; name each run once")
    return job_of(runs[0]).evaluate(runs, options)


def watch(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia watch RUN`."""
    options = parse(WatchOptions, argv, prog)
    run = _run_of(options)
    return job_of(run).watch(run, options)


def export(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia export RUN`."""
    options = parse(ExportOptions, argv, prog)
    run = _run_of(options)
    return job_of(run).export(run, options)


def report(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia report RUN|FOLDER`.

    Returns:
        Of a run `report`, where its page is. Of a folder `index`, where that is, `reports`, those
        that were written, and `unreadable`, by the name of a run why it is not shown. Of a run that
        holds others, such as those of several seeds, all of these.
    """
    options = parse(ReportOptions, argv, prog)
    _refuse_run_dir(options)
    from arcadia.report_folder import build_index, holds_runs
    from arcadia.run_report import build_report
    from arcadia.sweep_trials import is_sweep

    storage, result = Storage.at(options.run), {}
    is_run = RunFolder.is_run(options.run) and not is_sweep(storage)
    if not is_run or holds_runs(storage):
        built = build_index(storage, rebuild=options.rebuild)
        print(f"Reports: {len(built.written)} written, {built.num_current} up to date")
        for name, reason in built.unreadable.items():
            print(f"arcadia: {name}: left out: {reason}", file=sys.stderr)
        print(f"Index: {built.index}")
        result = {
            "index": built.index,
            "reports": built.written,
            "unreadable": built.unreadable,
        }
    if is_run:
        result["report"] = str(build_report(options.run))
        print(f"Report: {result['report']}")
    return result


def tune(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia tune FILE`, or `arcadia tune --resume RUN`."""
    from arcadia.sweep_run import run_sweep

    return run_sweep(parse(TuneOptions, argv, prog), command_words(prog, argv))


def _evaluate_options(argv: list[str]) -> type[EvaluateOptions]:
    """What the first run that is named is evaluated with."""
    for word in bare_words(EvaluateOptions, argv):
        if RunFolder.is_run(word):
            return getattr(job_of(RunFolder.open(word)), "EvaluateOptions", EvaluateOptions)
    return EvaluateOptions


def _run_of(options: WatchOptions | ExportOptions) -> RunFolder:
    """The run that a command looks at, and into which it writes."""
    _refuse_run_dir(options)
    if options.address is not None:
        raise UserError(
            f"address {options.address}: all of this is done in this process; leave it out"
        )
    return RunFolder.open(options.run)


def _refuse_run_dir(options: CommonOptions) -> None:
    if options.run_dir is not None:
        raise UserError(
            f"run_dir {options.run_dir}: what this makes goes into the run itself; leave it out"
        )
