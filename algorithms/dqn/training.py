"""A training run of DQN: its folder, its curves, its checkpoints, and where it stops."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.atomic import explained
from arcadia.errors import UserError
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal

if TYPE_CHECKING:
    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.job import TrainOptions


def run_training(
    command: TrainOptions, words: list[str] | None = None, resumed: RunFolder | None = None
) -> dict[str, Any]:
    """Trains, with a run folder, TensorBoard, a progress line and checkpoints.

    Args:
        command: What to train and for how long.
        words: The command line, for the run's record.
        resumed: The run to go on with.

    Returns:
        `run`, `env_steps`, `env_frames`, `updates`, `episode_return_mean` (of the last hundred
        training episodes; None before the first ended), `evaluation_return_best` (None before the
        first evaluation) and `seconds`.
    """
    options = command.options
    if options.game is None and options.env is None:
        raise UserError("game: give --game, such as --game pong, or --env")
    if resumed is None and command.run_dir is not None:
        RunFolder.check_free(command.run_dir)
    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.config import DQNConfig
    from arcadia import cluster

    seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
    seed = seed if resumed is None else resumed.seed
    config = DQNConfig.of_options(options).debugging(seed=seed)
    config.validate()  # before Ray is started or a folder is made
    cluster.connect(command.address)
    cluster.check_gpus(options.num_gpus_per_learner)
    # Ray has its own handler for SIGTERM from here on, and it only exits.
    with StopSignal() as stop:
        algo = config.build_algo()
        assert isinstance(algo, DQN)
        try:
            if resumed is None:
                run = RunFolder.create(
                    command.run_dir or default_run_dir("dqn"),
                    kind="dqn",
                    config={"preset": command.preset, "options": dataclasses.asdict(options)},
                    seed=seed,
                    command=words,
                )
                _save_held_out(run, algo)
            else:
                run = resumed
                _restore(run, algo)
                run.set_status("running")
            return _train(run, algo, command, stop)
        finally:
            algo.stop()


def _train(run: RunFolder, algo: DQN, command: TrainOptions, stop: StopSignal) -> dict[str, Any]:
    from arcadia.progress import Progress
    from arcadia.telemetry import Telemetry

    options, start = command.options, time.monotonic()
    total = options.steps(options.total_frames)
    saved_at, mean_return = start, None
    evaluations = Evaluations(run)
    print(f"Run: {run.storage.shown()}", flush=True)
    name = options.game or options.env or ""
    if command.minutes is None:
        progress = Progress(total, "steps", f"DQN on {name}", start=algo.num_env_steps)
    else:
        progress = Progress(round(command.minutes * 60), "s", f"DQN on {name}")
    try:
        with (
            Telemetry(run, ray_metrics=True, start_step=_frames(algo)) as telemetry,
            progress,
        ):
            while algo.num_env_steps < total and not stop.requested:
                result = algo.train()
                scalars = _report(telemetry, result, algo)
                mean_return = scalars.get("episode/return_mean", mean_return)
                if evaluations.add(result, algo):
                    _keep_best(run, algo)
                now = time.monotonic()
                seconds = min(round(now - start), round((command.minutes or 0) * 60))
                progress.update(
                    algo.num_env_steps if command.minutes is None else seconds,
                    **{
                        "steps": f"{algo.num_env_steps:,}",
                        "return": "-" if mean_return is None else f"{mean_return:.1f}",
                        **({"best": f"{evaluations.best:.1f}"} if evaluations.list else {}),
                        "max-Q": f"{scalars.get('learner/held_out_max_q', 0.0):.2f}",
                        "eps": f"{scalars['runner/epsilon']:.2f}",
                        "steps/s": f"{scalars['runner/env_steps_per_s']:.0f}",
                    },
                )
                if now - saved_at > command.checkpoint_minutes * 60:
                    _checkpoint(run, algo)
                    saved_at = now
                if command.minutes is not None and now - start > command.minutes * 60:
                    break
        _checkpoint(run, algo)
    except BaseException as error:
        status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(UserError):  # what failed may be the disk it is written to
            run.set_status(status, error=f"{type(error).__name__}: {error}")
        raise
    finished = algo.num_env_steps >= total or not stop.requested
    run.set_status("completed" if finished else "stopped", env_steps=algo.num_env_steps)
    run.sync()
    if stop.requested:
        print(f"Stopped; go on with --resume {run.storage.shown()}")
    return {
        "run": run.uri,
        "env_steps": algo.num_env_steps,
        "env_frames": _frames(algo),
        "updates": algo.num_updates,
        "episode_return_mean": mean_return,
        "evaluation_return_best": evaluations.best if evaluations.list else None,
        "seconds": round(time.monotonic() - start, 1),
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
    step, keep = algo.num_env_steps, algo.options.save_replay
    if keep != "none":
        with _folder_to_save_to() as folder:
            algo.replay.save(folder / "replay")
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
    if not run.checkpoints():
        raise UserError(f"{run.storage.shown()}: has no checkpoint to go on from; start a new run")
    checkpoint, step = run.find_checkpoint("last")
    algo.restore_from_path(checkpoint)
    if step in run.checkpoints("replay"):
        algo.replay.restore(run.checkpoint(step, "replay"))
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
        import io

        import numpy as np

        file = io.BytesIO()
        np.savez_compressed(file, states=algo.held_out)
        run.write_bytes("held_out.npz", file.getvalue())
