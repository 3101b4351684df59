"""A training run of DQN or of what builds on it: folder, curves, checkpoints, where it stops."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from algorithms.dqn.kept import Evaluations, keep_best, restore, save_checkpoint, save_held_out
from arcadia.atomic import held_alone
from arcadia.errors import UserError
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.job import TrainOptions
    from algorithms.dqn.options import DQNOptions

_LEARNER = ("held_out_max_q", "loss", "td_error_abs", "q", "lr", "grad_norm", "updates_per_s")


def run_training(
    command: TrainOptions, words: Sequence[str] | None = None, resumed: RunFolder | None = None
) -> dict[str, Any]:
    """Trains, with a run folder, TensorBoard, a progress line and checkpoints.

    Args:
        command: What to train and for how long.
        words: The command line, for the run's record.
        resumed: The run to go on with.

    Returns:
        As `Training.result`.
    """
    from arcadia.progress import Progress

    check(command, resumed)
    # Ray has its own handler for SIGTERM from here on, and it only exits.
    training_class = command.training_class()
    with StopSignal() as stop, training_class(command, words, resumed) as training:
        print(f"Run: {training.run.storage.shown()}", flush=True)
        unit, total = training.unit, training.total
        options = command.options
        name = f"{options.algorithm_name} on {options.game or options.env}"
        with Progress(total, unit, name, start=training.done, table=training.table) as progress:
            while not training.is_finished and not stop.requested:
                training.step()
                progress.update(training.done, **training.fields())
        training.finish(stopped=stop.requested)
        if stop.requested:
            print(f"Stopped; go on with --resume {training.run.storage.shown()}")
        return training.result()


def check(command: TrainOptions, resumed: RunFolder | None = None) -> None:
    """Refuses what cannot be trained, before a folder is made, and connects to Ray.

    Raises:
        UserError: naming what is wrong.
    """
    options = command.options
    if options.game is None and options.env is None:
        raise UserError(command.to_play)
    if resumed is None and command.run_dir is not None:
        RunFolder.check_free(command.run_dir)
    if resumed is not None and not resumed.has_checkpoint():
        where = resumed.storage.shown()
        raise UserError(f"{where}: has no checkpoint to go on from; start a new run")
    from arcadia import cluster

    if command.seeds is not None and options.is_distributed:
        raise UserError(
            f"num_env_runners {options.num_env_runners}: with seeds, each seed is one process; "
            "leave it at 0, or start a run for each seed"
        )
    command.config().validate()
    num_cpus = actor_cpus(options)
    # A Ray of our own has logical CPUs enough, whatever cores there are.
    logical = max(2, os.cpu_count() or 2, math.ceil(num_cpus))
    there = cluster.connect(command.address, num_cpus=logical)
    num_gpus = options.num_gpus_per_learner * max(1, options.num_learners)
    learns_here = not options.num_learners and command.seeds is None
    # Another cluster may start machines for its actors, and nothing in it says how many.
    if learns_here or cluster.started_here():
        cluster.check_gpus(num_gpus)
    for unit, wanted in (("CPU", num_cpus), ("GPU", num_gpus)):
        if wanted > there.get(unit, 0):
            print(
                f"The actors need {wanted:g} {unit}s and the cluster has {there.get(unit, 0):g}: "
                "training begins once it has grown",
                flush=True,
            )


def actor_cpus(options: DQNOptions) -> float:
    """CPUs that the actors of a run take: runners, shards, learners, and one that evaluates."""
    if not options.is_distributed:
        return 0
    shards = options.num_shards * options.num_cpus_per_replay_shard
    learners = 0 if options.num_gpus_per_learner else options.num_learners
    return options.num_env_runners + shards + learners + bool(options.eval_period_frames)


class Training:
    """A run under way: the algorithm, its folder, and what is written there as it goes.

    A context manager: when its block fails, the run's status says so, and everything is closed.

    Args:
        command: What to train and for how long.
        words: The command line, for the run's record.
        resumed: The run to go on with, from its start if it has no checkpoint yet; None makes one.

    Attributes:
        run: Its folder.
        algo: What is trained.
        is_finished: Whether `total_frames` or `minutes` are over.
    """

    def __init__(
        self,
        command: TrainOptions,
        words: Sequence[str] | None = None,
        resumed: RunFolder | None = None,
    ) -> None:
        from algorithms.dqn.algorithm import DQN
        from arcadia.telemetry import Telemetry

        self._command = command
        seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
        seed = seed if resumed is None else resumed.seed
        algo = command.config().debugging(seed=seed).build_algo()
        assert isinstance(algo, DQN)
        self.algo = algo
        self._held = contextlib.ExitStack()
        try:
            if resumed is None:
                self.run = RunFolder.create(
                    command.run_dir or default_run_dir(command.kind),
                    kind=command.kind,
                    config=self._config(),
                    seed=seed,
                    command=words,
                )
                with self.run.noting_failure():
                    self._hold()
                    save_held_out(self.run, algo)
            else:
                self.run = resumed
                self._hold()
                if resumed.checkpoints():
                    restore(resumed, algo)
                resumed.set_status("running")
            self.evaluations = Evaluations(self.run)
            # What was written with the checkpoint itself stays.
            start = 1 + _frames(algo)
            self._telemetry = Telemetry(self.run, ray_metrics=True, start_step=start)
        except BaseException:
            algo.stop()
            self._held.close()
            raise
        self._start_s = self._saved_at_s = time.monotonic()
        self._total_steps = command.options.steps(command.options.total_frames)
        self._mean_return: float | None = None
        self._scalars: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._telemetry.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.algo.stop()
        # What failed may be the disk that all of this is written to.
        with (
            self._held,
            contextlib.suppress(UserError, OSError) if error else contextlib.nullcontext(),
        ):
            self._telemetry.__exit__(kind, error, traceback)
            if error is not None:
                status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                self.run.set_status(status, error=f"{type(error).__name__}: {error}")

    def _hold(self) -> None:
        """Keeps other processes out of the run until the end."""
        if self.run.storage.is_local:
            self._held.enter_context(held_alone(self.run.path))

    def _config(self) -> dict[str, Any]:
        """What the run is told to be of."""
        command = self._command
        return {"preset": command.preset, "options": dataclasses.asdict(command.options)}

    @property
    def seconds(self) -> float:
        """Since this process took the run up."""
        return time.monotonic() - self._start_s

    @property
    def is_finished(self) -> bool:
        """Whether it has gone as far as was asked."""
        minutes = self._command.minutes
        out_of_time = minutes is not None and self.seconds > minutes * 60
        return out_of_time or self.algo.num_env_steps >= self._total_steps

    @property
    def unit(self) -> str:
        """What `done` and `total` count."""
        return "steps" if self._command.minutes is None else "s"

    @property
    def total(self) -> int:
        """How far it is to go."""
        minutes = self._command.minutes
        return self._total_steps if minutes is None else round(minutes * 60)

    @property
    def done(self) -> int:
        """How far it has gone."""
        steps = self._command.minutes is None
        return self.algo.num_env_steps if steps else min(round(self.seconds), self.total)

    def fields(self) -> dict[str, str | float]:
        """What a progress line says of it."""
        shown: dict[str, str | float] = {
            "steps": f"{self.algo.num_env_steps:,}",
            "return": "-" if self._mean_return is None else f"{self._mean_return:.1f}",
        }
        if self.evaluations.list:
            shown["best"] = f"{self.evaluations.best:.1f}"
        for name, label, digits in (
            ("learner/held_out_max_q", "max-Q", 2),
            ("runner/epsilon", "eps", 2),
            ("runner/env_steps_per_s", "steps/s", 0),
        ):
            if name in self._scalars:
                shown[label] = f"{self._scalars[name]:.{digits}f}"
        return shown

    def table(self) -> RenderableType | None:
        """What is shown below the progress line: nothing of DQN."""
        return None

    def step(self) -> None:
        """One iteration: trains, writes its metrics, and saves what is due."""
        result = self.algo.train()
        self._scalars = self._report(result)
        self._mean_return = self._scalars.get("episode/return_mean", self._mean_return)
        if self.evaluations.add(result, self.algo):
            keep_best(self.run, self.algo)
        if time.monotonic() - self._saved_at_s > self._command.checkpoint_minutes * 60:
            self._save()
            self._saved_at_s = time.monotonic()

    def _save(self) -> None:
        self._telemetry.flush()  # a run that goes on has its curves up to there
        save_checkpoint(self.run, self.algo)

    def finish(self, *, stopped: bool = False) -> None:
        """Writes the last checkpoint and the run's status.

        Args:
            stopped: Somebody asked for the end.
        """
        self._save()
        status = "stopped" if stopped and not self.is_finished else "completed"
        self.run.set_status(status, env_steps=self.algo.num_env_steps)
        self.run.sync()

    def result(self) -> dict[str, Any]:
        """What the command answers.

        Returns:
            `run`, `status`, `env_steps`, `env_frames`, `updates`, `episode_return_mean` (of the
            last hundred training episodes; None before the first ended), `evaluation_return_best`
            (None before the first evaluation) and `seconds`.
        """
        return {
            "run": self.run.uri,
            "status": self.run.status,
            "env_steps": self.algo.num_env_steps,
            "env_frames": _frames(self.algo),
            "updates": self.algo.num_updates,
            "episode_return_mean": self._mean_return,
            "evaluation_return_best": self.evaluations.best if self.evaluations.list else None,
            "seconds": round(self.seconds, 1),
        }

    def _report(self, result: dict[str, Any]) -> dict[str, float]:
        """Writes an iteration's metrics to TensorBoard, over emulator frames; returns them."""
        per_step = self.algo.options.emulator_frames_per_step
        for episode in result["episodes"]:
            scores = {"episode/return": episode["return"], "episode/length": episode["length"]}
            self._telemetry.scalars(scores, episode["step"] * per_step)
        scalars = self.scalars(result)
        given = {name: float(value) for name, value in scalars.items() if value is not None}
        given = {name: value for name, value in given.items() if not math.isnan(value)}
        self._telemetry.scalars(given, _frames(self.algo))
        return given

    def scalars(self, result: dict[str, Any]) -> dict[str, float | None]:
        """What TensorBoard shows of an iteration's result."""
        runner = result["env_runners"]
        evaluation = result["evaluation"]["env_runners"] if result["evaluated"] else {}
        level = next(iter(self.algo.level_options()))
        learner = {name: result["learners"][level].get(name) for name in _LEARNER}
        per_step = self.algo.options.emulator_frames_per_step
        return {
            "episode/return_mean": runner.get("episode_return_mean"),
            "evaluation/return_mean": evaluation.get("episode_return_mean"),
            "evaluation/length_mean": evaluation.get("episode_len_mean"),
            **{f"learner/{name}": value for name, value in learner.items()},
            "runner/epsilon": runner.get("epsilon"),
            "runner/env_steps_per_s": runner["env_steps_per_s"],
            "runner/frames_per_s": runner["env_steps_per_s"] * per_step,
            "queue/depth": self.algo.loop.queue_depth,
            "replay/transitions": result["replay"]["num_transitions"],
            "replay/bytes": result["replay"]["num_bytes"],
            **{f"faults/{name}": value for name, value in result.get("faults", {}).items()},
        }


def _frames(algo: DQN) -> int:
    """Emulator frames so far: the x-axis of all curves."""
    return algo.num_env_steps * algo.options.emulator_frames_per_step
