"""A training run of DQN: its folder, its curves, its checkpoints, and where it stops."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from arcadia.atomic import explained
from arcadia.errors import UserError
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal

if TYPE_CHECKING:
    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.job import TrainOptions
    from algorithms.dqn.options import DQNOptions


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
    with StopSignal() as stop, Training(command, words, resumed) as training:
        print(f"Run: {training.run.storage.shown()}", flush=True)
        unit, total = training.unit, training.total
        name = f"DQN on {command.options.game or command.options.env}"
        with Progress(total, unit, name, start=training.done) as progress:
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
        raise UserError("game: give --game, such as --game pong, or --env")
    if resumed is None and command.run_dir is not None:
        RunFolder.check_free(command.run_dir)
    if resumed is not None and not resumed.checkpoints():
        where = resumed.storage.shown()
        raise UserError(f"{where}: has no checkpoint to go on from; start a new run")
    from algorithms.dqn.config import DQNConfig
    from arcadia import cluster

    if command.seeds is not None and options.is_distributed:
        raise UserError(
            f"num_env_runners {options.num_env_runners}: with seeds, each seed is one process; "
            "leave it at 0, or start a run for each seed"
        )
    DQNConfig.of_options(options).validate()
    num_cpus = actor_cpus(options)
    # A Ray of our own has logical CPUs enough, whatever cores there are.
    logical = max(2, os.cpu_count() or 2, math.ceil(num_cpus))
    there = cluster.connect(command.address, num_cpus=logical)
    cluster.check_gpus(options.num_gpus_per_learner * max(1, options.num_learners))
    if num_cpus > there.get("CPU", 0):
        print(
            f"The actors need {num_cpus:g} CPUs and the cluster has {there.get('CPU', 0):g}: "
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
        from algorithms.dqn.config import DQNConfig
        from arcadia.telemetry import Telemetry

        self._command, options = command, command.options
        seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
        seed = seed if resumed is None else resumed.seed
        algo = DQNConfig.of_options(options).debugging(seed=seed).build_algo()
        assert isinstance(algo, DQN)
        self.algo = algo
        try:
            if resumed is None:
                self.run = RunFolder.create(
                    command.run_dir or default_run_dir("dqn"),
                    kind="dqn",
                    config={"preset": command.preset, "options": dataclasses.asdict(options)},
                    seed=seed,
                    command=words,
                )
                _save_held_out(self.run, algo)
            else:
                self.run = resumed
                if resumed.checkpoints():
                    _restore(resumed, algo)
                resumed.set_status("running")
            self.evaluations = Evaluations(self.run)
            self._telemetry = Telemetry(self.run, ray_metrics=True, start_step=_frames(algo))
        except BaseException:
            algo.stop()
            raise
        self._start_s = self._saved_at_s = time.monotonic()
        self._total_steps = options.steps(options.total_frames)
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
        with contextlib.suppress(UserError, OSError) if error else contextlib.nullcontext():
            self._telemetry.__exit__(kind, error, traceback)
            if error is not None:
                status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                self.run.set_status(status, error=f"{type(error).__name__}: {error}")

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

    def step(self) -> None:
        """One iteration: trains, writes its metrics, and saves what is due."""
        result = self.algo.train()
        self._scalars = _report(self._telemetry, result, self.algo)
        self._mean_return = self._scalars.get("episode/return_mean", self._mean_return)
        if self.evaluations.add(result, self.algo):
            _keep_best(self.run, self.algo)
        if time.monotonic() - self._saved_at_s > self._command.checkpoint_minutes * 60:
            _checkpoint(self.run, self.algo)
            self._saved_at_s = time.monotonic()

    def finish(self, *, stopped: bool = False) -> None:
        """Writes the last checkpoint and the run's status.

        Args:
            stopped: Somebody asked for the end.
        """
        _checkpoint(self.run, self.algo)
        status = "stopped" if stopped and not self.is_finished else "completed"
        self.run.set_status(status, env_steps=self.algo.num_env_steps)
        self.run.sync()

    def result(self) -> dict[str, Any]:
        """What the command answers.

        Returns:
            `run`, `env_steps`, `env_frames`, `updates`, `episode_return_mean` (of the last hundred
            training episodes; None before the first ended), `evaluation_return_best` (None before
            the first evaluation) and `seconds`.
        """
        return {
            "run": self.run.uri,
            "env_steps": self.algo.num_env_steps,
            "env_frames": _frames(self.algo),
            "updates": self.algo.num_updates,
            "episode_return_mean": self._mean_return,
            "evaluation_return_best": self.evaluations.best if self.evaluations.list else None,
            "seconds": round(self.seconds, 1),
        }


def _report(telemetry: Any, result: dict[str, Any], algo: DQN) -> dict[str, float]:
    """Writes an iteration's metrics to TensorBoard, over emulator frames; returns them."""
    per_step = algo.options.emulator_frames_per_step
    for episode in result["episodes"]:
        scores = {"episode/return": episode["return"], "episode/length": episode["length"]}
        telemetry.scalars(scores, episode["step"] * per_step)
    runner, learner = result["env_runners"], result["learners"]["default_policy"]
    evaluation = result["evaluation"]["env_runners"] if result["evaluated"] else {}
    scalars = {
        "episode/return_mean": runner.get("episode_return_mean"),
        "evaluation/return_mean": evaluation.get("episode_return_mean"),
        "evaluation/length_mean": evaluation.get("episode_len_mean"),
        "learner/held_out_max_q": learner.get("held_out_max_q"),
        "learner/loss": learner.get("loss"),
        "learner/td_error_abs": learner.get("td_error_abs"),
        "learner/q": learner.get("q"),
        "learner/lr": learner.get("lr"),
        "learner/grad_norm": learner.get("grad_norm"),
        "learner/updates_per_s": learner["updates_per_s"],
        "runner/epsilon": runner["epsilon"],
        "runner/env_steps_per_s": runner["env_steps_per_s"],
        "replay/transitions": result["replay"]["num_transitions"],
        "replay/bytes": result["replay"]["num_bytes"],
        **{f"faults/{name}": value for name, value in result.get("faults", {}).items()},
    }
    given = {name: float(value) for name, value in scalars.items() if value is not None}
    given = {name: value for name, value in given.items() if not math.isnan(value)}
    telemetry.scalars(given, _frames(algo))
    return given


def _frames(algo: DQN) -> int:
    """Emulator frames so far: the x-axis of all curves."""
    return algo.num_env_steps * algo.options.emulator_frames_per_step


def _checkpoint(run: RunFolder, algo: DQN) -> None:
    """Publishes the replay, then the checkpoint that belongs to it, and only then lets go of the
    replays that no checkpoint needs any more: at every moment one pair is whole."""
    algo.loop.settle()
    step, keep = algo.num_env_steps, algo.options.save_replay
    if keep != "none":
        with _folder_to_save_to() as folder:
            algo.save_replays(folder / "replay")
            run.publish_checkpoint(folder / "replay", step, shelf="replay")
    with _folder_to_save_to() as folder:
        algo.save_to_path(folder, replay=False)
        run.publish_checkpoint(folder, step, keep=2)
    needed = run.checkpoints() if keep == "every" else [step]
    for other in run.checkpoints("replay"):
        if other not in needed:
            run.delete_checkpoint(other, "replay")


def _keep_best(run: RunFolder, algo: DQN) -> None:
    with _folder_to_save_to() as folder:
        algo.save_to_path(folder, replay=False)
        run.publish_checkpoint(folder, algo.num_env_steps, keep=1, shelf="best")


def _restore(run: RunFolder, algo: DQN) -> None:
    """Takes up the last checkpoint, with the replay that was saved beside it."""
    checkpoint, step = run.find_checkpoint("last")
    algo.restore_from_path(checkpoint)
    if step in run.checkpoints("replay"):
        algo.restore_replays(Path(run.checkpoint(step, "replay")))
    else:
        print(
            f"{run.storage.shown()}: its replay was not saved; it fills anew before learning goes "
            "on",
            flush=True,
        )


@contextlib.contextmanager
def _folder_to_save_to() -> Iterator[Path]:
    """A temporary folder on this machine; a full disk there is said in one line."""
    with explained("write a checkpoint", tempfile.gettempdir()):
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            yield Path(folder)


class Evaluations:
    """The evaluations of a run, kept in its `evaluations.json`, and which was best.

    Attributes:
        list: of `step`, `return_mean`, `return_min`, `return_max` and `length_mean`, by step.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.list: list[dict[str, Any]] = []
        if run.exists("evaluations.json"):
            self.list = run.read_json("evaluations.json")

    @property
    def best(self) -> float:
        """The greatest mean score."""
        return max(evaluation["return_mean"] for evaluation in self.list)

    def add(self, result: dict[str, Any], algo: DQN) -> bool:
        """Notes the evaluation in an iteration's result, if any; whether it is the best so far."""
        if not result["evaluated"]:
            return False
        scores = result["evaluation"]["env_runners"]
        names = {
            "return_mean": "episode_return_mean",
            "return_min": "episode_return_min",
            "return_max": "episode_return_max",
            "length_mean": "episode_len_mean",
        }
        new = {ours: float(scores[rllibs]) for ours, rllibs in names.items()}
        # A run that goes on from an earlier checkpoint comes by the same steps again.
        others = [e for e in self.list if e["step"] != algo.num_env_steps]
        is_best = not others or new["return_mean"] > max(e["return_mean"] for e in others)
        self.list = sorted([*others, {"step": algo.num_env_steps, **new}], key=lambda e: e["step"])
        self._run.write_json("evaluations.json", self.list)
        return is_best


def _save_held_out(run: RunFolder, algo: DQN) -> None:
    if algo.held_out is not None:
        file = io.BytesIO()
        np.savez_compressed(file, states=algo.held_out)
        run.write_bytes("held_out.npz", file.getvalue())
