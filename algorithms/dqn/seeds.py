"""`arcadia train dqn|hdqn --seeds N`: the same training with several seeds, and their mean.

The folder is itself a run, of the kind "dqn-seeds" or "hdqn-seeds", and holds one for each seed.
Each trains in a Ray actor that reports about once a second and is told when to stop; one that dies
is replaced and goes on from its latest checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import random
import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.pages import frames_axis
from algorithms.dqn.training import Training, check
from arcadia.bands import Curve, band_figure, confidence_band
from arcadia.cluster import state_environment
from arcadia.errors import UserError
from arcadia.headline import Headline, last_step
from arcadia.jobs import JOBS, job_of
from arcadia.progress import Progress
from arcadia.report import Report
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal
from arcadia.storage import Storage
from arcadia.telemetry import read_scalars

if TYPE_CHECKING:
    from algorithms.dqn.job import TrainOptions
    from arcadia.commands import EvaluateOptions, WatchOptions

SUFFIX = "-seeds"
"""Of a folder's kind, after that of its runs."""
FIGURE = "seeds.png"
_TURN_S = 1.0  # how long an actor trains, at least, before it tells how far it is
_MAX_RESTARTS = 3  # of a seed whose actor died
_PANELS = {
    "episode/return_mean": "return, mean of the last 100 training games",
    "evaluation/return_mean": "return in evaluation",
}


class SeedTrainer:
    """Trains one seed, a turn at a time; a Ray actor.

    Args:
        command: What to train; its `run_dir` is the seed's own.
        words: The command line, for the run's record.
        num_cpus: Threads that torch computes with.
    """

    def __init__(self, command: TrainOptions, words: Sequence[str] | None, num_cpus: int) -> None:
        # Nothing that can fail: an actor whose start fails says so in a page of text.
        self._command, self._words, self._num_cpus = command, words, num_cpus
        self._stack = contextlib.ExitStack()
        self._training: Training | None = None

    def turn(self, stop: bool) -> dict[str, Any]:
        """Trains on for a second or an iteration.

        Args:
            stop: Write a checkpoint and end instead.

        Returns:
            `done` and `fields` of the progress; at the end also `result`.
        """
        with contextlib.ExitStack() as failed:
            training, until = self._start(), time.monotonic() + _TURN_S
            failed.push(self._stack)  # which says in the run how it ended
            while not stop and not training.is_finished and time.monotonic() < until:
                training.step()
            told = {"done": training.done, "fields": training.fields()}
            if stop or training.is_finished:
                training.finish(stopped=stop)
                told["result"] = training.result()
            else:
                failed.pop_all()  # there are more turns
        return told

    def _start(self) -> Training:
        if self._training is None:
            state_environment()
            torch.set_num_threads(self._num_cpus)
            run_dir = str(self._command.run_dir)
            # It may have been begun by an actor that died, or before the whole was stopped.
            resumed = RunFolder.open(run_dir) if RunFolder.is_run(run_dir) else None
            training = self._command.training_class()(self._command, self._words, resumed)
            self._training = self._stack.enter_context(training)
        return self._training


def run_seeds(
    command: TrainOptions, words: Sequence[str] | None = None, resumed: RunFolder | None = None
) -> dict[str, Any]:
    """Trains `command.seeds` seeds side by side, as many at a time as there are CPUs.

    Args:
        command: What to train; `seed` is the first of the seeds, which follow one another.
        words: The command line, for the runs' records.
        resumed: The folder of seeds to go on with.

    Returns:
        `run`, `seeds`, `runs` (a result as of one training for each seed that ended well),
        `episode_return_mean` and `evaluation_return_mean` (mean over the seeds where they end, with
        `low` and `high` of its 95 % confidence interval; None where there is none), `figure` (its
        path, None where there are no curves) and `seconds`.

    Raises:
        UserError: as of one training.
        RuntimeError: seeds failed; the others are whole.
    """
    assert command.seeds is not None
    start, kind = time.monotonic(), command.kind + SUFFIX
    if command.run_dir is not None and resumed is None:
        RunFolder.check_free(command.run_dir)
    check(dataclasses.replace(command, run_dir=None))
    first = command.seed if command.seed is not None else random.SystemRandom().randrange(2**30)
    if resumed is None:
        folder = RunFolder.create(
            command.run_dir or default_run_dir(kind),
            kind=kind,
            config={
                "preset": command.preset,
                "options": dataclasses.asdict(command.options),
                "seeds": command.seeds,
            },
            seed=first,
            command=words,
        )
    else:
        folder = resumed
        first = resumed.seed if resumed.seed is not None else first
        folder.set_status("running")
    seeds = list(range(first, first + command.seeds))
    print(f"Run: {folder.storage.shown()}", flush=True)
    with StopSignal() as stop, folder.noting_failure():
        results, failures = _train_all(command, words, folder, seeds, stop)
        summary = summarize(folder)
        status = "failed" if failures else "stopped" if stop.requested else "completed"
        folder.set_status(status)
    if summary["figure"] is not None:
        print(f"Mean and confidence band: {summary['figure']}")
    if stop.requested:
        print(f"Stopped; go on with --resume {folder.storage.shown()}")
    if failures:
        reasons = "; ".join(f"seed {seed}: {reason}" for seed, reason in failures.items())
        raise RuntimeError(
            f"{len(failures)} of {len(seeds)} seeds failed ({reasons}); go on with --resume "
            f"{folder.storage.shown()}"
        )
    return {
        "run": folder.uri,
        "seeds": seeds,
        "runs": [results[seed] for seed in seeds],
        **summary,
        "seconds": round(time.monotonic() - start, 1),
    }


def _train_all(
    command: TrainOptions,
    words: Sequence[str] | None,
    folder: RunFolder,
    seeds: Sequence[int],
    stop: StopSignal,
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Trains every seed to its end; results of those that came there, reasons of the others."""
    total_cpus = int(ray.cluster_resources().get("CPU", 1))
    num_cpus = max(1, total_cpus // len(seeds))
    remote = ray.remote(num_cpus=num_cpus, num_gpus=command.options.num_gpus_per_learner)(
        SeedTrainer
    )
    actors: dict[int, Any] = {}
    turns: dict[Any, int] = {}
    restarts = dict.fromkeys(seeds, 0)

    def begin(seed: int) -> None:
        run_dir = _place(folder, seed).uri
        own = dataclasses.replace(command, run_dir=run_dir, seed=seed, seeds=None, resume=None)
        actors[seed] = remote.remote(own, words, num_cpus)
        turns[actors[seed].turn.remote(False)] = seed

    for seed in seeds:
        begin(seed)
    results: dict[int, dict[str, Any]] = {}
    failures: dict[int, str] = {}
    done, shown = dict.fromkeys(seeds, 0), dict.fromkeys(seeds, "-")
    each = command.options.steps(command.options.total_frames)
    unit, total = ("steps", each) if command.minutes is None else ("s", command.minutes * 60)
    name = f"{_played(command.options)}, {len(seeds)} seeds"
    try:
        with Progress(round(total * len(seeds)), unit, name) as progress:
            while turns:
                (ready,), _ = ray.wait(list(turns), num_returns=1)
                seed = turns.pop(ready)
                try:
                    told = ray.get(ready)
                except RayTaskError as error:  # what the training itself said
                    failures[seed] = f"{type(error.cause).__name__}: {error.cause}"
                    ray.kill(actors.pop(seed))
                    continue
                except RayError as error:  # it was killed, or its machine is gone
                    reason = str(error).strip().splitlines()[0]
                    if restarts[seed] >= _MAX_RESTARTS or stop.requested:
                        failures[seed] = f"its actor died ({reason})"
                        continue
                    restarts[seed] += 1
                    print(
                        f"Seed {seed}: its actor died ({reason}); a new one goes on from the "
                        "latest checkpoint",
                        flush=True,
                    )
                    begin(seed)
                    continue
                done[seed], shown[seed] = told["done"], told["fields"]["return"]
                progress.update(sum(done.values()), returns=" ".join(shown.values()))
                if "result" in told:
                    results[seed] = told["result"]
                    ray.kill(actors.pop(seed))  # the next seed waits for its CPUs
                else:
                    turns[actors[seed].turn.remote(stop.requested)] = seed
    finally:
        for actor in actors.values():
            with contextlib.suppress(Exception):  # a cluster that is gone took them along
                ray.kill(actor)
    return results, failures


def members(folder: RunFolder) -> list[RunFolder]:
    """The runs of the seeds, in their order; those that have begun."""
    first, number = folder.seed or 0, folder.config["seeds"]
    places = [_place(folder, first + i) for i in range(number)]
    return [RunFolder.open(place) for place in places if place.exists("run.json")]


def _place(folder: RunFolder, seed: int) -> Storage:
    """Where the run of a seed is."""
    return folder.storage.below(f"seed-{seed}")


def summarize(folder: RunFolder) -> dict[str, Any]:
    """Draws the seeds' mean and its confidence band into the folder, as far as they have come.

    Returns:
        `episode_return_mean`, `evaluation_return_mean` and `figure`; see `run_seeds`.
    """
    scalars = [read_scalars(run) for run in members(folder)]
    panels: dict[str, list[Curve]] = {}
    ends: dict[str, Any] = {}
    for name in _PANELS:
        curves = [own[name] for own in scalars if name in own]
        band = confidence_band(curves) if len(curves) > 1 else None
        ends[name] = None
        if band is not None:
            panels[_PANELS[name]] = curves
            ends[name] = {
                "mean": float(band.mean[-1]),
                "low": float(band.low[-1]),
                "high": float(band.high[-1]),
                "num_seeds": band.num_curves,
            }
    figure = None
    if panels:
        options = _options(folder)
        title = f"{_played(options)}, preset {folder.config['preset']}"
        folder.write_bytes(FIGURE, band_figure(panels, frames_axis(options), title))
        figure = folder.storage.shown(FIGURE)
    return {
        "episode_return_mean": ends["episode/return_mean"],
        "evaluation_return_mean": ends["evaluation/return_mean"],
        "figure": figure,
    }


def _options(folder: RunFolder) -> DQNOptions:
    """What the seeds are trained with."""
    own: ModuleType = importlib.import_module(JOBS[folder.kind.removesuffix(SUFFIX)])
    return own.options(folder)


def _played(options: DQNOptions) -> str:
    return f"{options.algorithm_name} on {options.game or options.env}"


# What the commands that look at runs do with a folder of seeds; see `arcadia.jobs`.


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate`: all seeds, and one table."""
    seeds = [member for run in runs for member in members(run)]
    if not seeds:
        raise UserError(f"{runs[0].storage.shown()}: no seed has begun yet; train for longer")
    return job_of(seeds[0]).evaluate(seeds, command)


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch` and `export`: they take one seed at a time."""
    names = ", ".join(member.name for member in members(run)) or "none yet"
    raise UserError(f"{run.storage.shown()}: holds several runs ({names}); name one of them")


export = watch


def headline(run: RunFolder) -> Headline:
    """What an index says of the folder: the means over its seeds, where all of them are."""
    scalars = [read_scalars(member) for member in members(run)]
    figures, curve = {}, None
    for label, name in (
        ("evaluation return", "evaluation/return_mean"),
        ("training return", "episode/return_mean"),
    ):
        curves = [own[name] for own in scalars if name in own]
        band = confidence_band(curves) if len(curves) > 1 else None
        if band is not None:
            figures[label] = float(band.mean[-1])
            curve = band.x, band.mean
    options = _options(run)
    frames = max((last_step(own) or 0 for own in scalars), default=0)
    return Headline(
        title=f"{_played(options)}, {run.config['seeds']} seeds",
        figures=figures,
        steps=frames // options.emulator_frames_per_step,
        curve=curve,
        axes=(frames_axis(options), "return, mean over the seeds"),
        picture=FIGURE if run.exists(FIGURE) else None,
    )


def report(run: RunFolder) -> Report:
    """`arcadia report`: the figure, and how each seed did."""
    summary = summarize(run)
    report = Report(_played(_options(run)), subtitle=f"{run.name} · {run.status}")
    rows = []
    for member in members(run):
        scalars = read_scalars(member)
        ends = [scalars[panel][1][-1] if panel in scalars else None for panel in _PANELS]
        rows.append([str(member.seed), member.status, last_step(scalars) or 0, *ends])
    report.stats({"seeds": str(run.config["seeds"]), "begun": str(len(rows))})
    if summary["figure"] is not None:
        report.image("Mean and 95 % confidence band", run.read_bytes(FIGURE))
    columns = ["seed", "status", "frames", "training return", "evaluation return"]
    report.table("Seeds", columns, rows, "Returns as each run's last report had them.")
    return report
