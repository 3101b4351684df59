"""Workers of Ray Train, from a driver that keeps its own account of what they do.

Ray Train starts them, gives them a process group and starts them again when one dies; what does
that, its controller, is an actor, and is started again here. Checkpoints, figures and the request
to stop are the run's own affair: its folder, its board.

driver: progress bar, signals -- board -- workers: steps, checkpoints into the run
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

# Workers would be told that their machine is about to be taken away, and have no use for it. Read
# when Ray Train's controller starts, which gets it from here.
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")

import ray
import ray.train
import torch
from ray import PlacementGroupID
from ray.exceptions import RayActorError, RayTaskError
from ray.train.torch import TorchTrainer, get_device
from ray.util.placement_group import (
    PlacementGroup,
    placement_group_table,
    remove_placement_group,
)

from arcadia.cluster import started_here
from arcadia.errors import UserError
from arcadia.progress import Progress
from arcadia.row_job import make_board
from arcadia.runs import RunFolder
from arcadia.stop import StopSignal
from arcadia.storage import Storage
from arcadia.workers import Workers

PROGRESS_KEY = "training"
"""What the board calls how far the workers are: the `step`, and what is shown beside it."""
_FAILURES_KEY = "failures"  # how often workers died: a `number`
_NOTES = "ray_train"  # folder that Ray Train keeps its own notes in, while it goes
_PERIOD_S = 0.5


def train_watched(
    train_worker: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    workers: Workers,
    *,
    run: RunFolder,
    steps: int,
    done: Callable[[], int],
    stop: StopSignal,
    minutes: float | None,
    max_failures: int,
) -> None:
    """As `fit`, beside a progress bar; until all steps are done, a signal comes or time is up.

    Args:
        train_worker: as there; its settings hold the "board", too.
        settings: as there.
        workers: as there.
        run: that is trained.
        steps: of the whole training.
        done: how many are done, by the run's last checkpoint.
        stop: the request to end.
        minutes: after which it ends, too.
        max_failures: as there.

    Raises:
        Exception: as there.
    """
    before = done()
    if before >= steps:
        print("All steps are done", flush=True)
        return
    board = make_board()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            fit(
                train_worker,
                {**settings, "board": board},
                workers,
                storage=run.storage,
                board=board,
                max_failures=max_failures,
            )
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until = None if minutes is None else time.monotonic() + 60 * minutes
    failures = 0
    with Progress(steps, "steps", "Training", start=before) as progress:
        while thread.is_alive():
            thread.join(_PERIOD_S)
            told: Any = ray.get(board.latest.remote())
            number = int(told.get(_FAILURES_KEY, {}).get("number", 0))
            if failures < number <= max_failures:
                print(
                    f"Workers died ({number} of {max_failures} times that may be); the training "
                    "goes on from its last checkpoint",
                    flush=True,
                )
            failures = number
            values = dict(told.get(PROGRESS_KEY, {}))
            progress.update(max(int(values.pop("step", 0)), before), **values)
            if stop.requested or (until is not None and time.monotonic() > until):
                ray.get(board.stop.remote())
        progress.update(done())
    if failed:
        raise failed[0]


def fit(
    train_worker: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    workers: Workers,
    *,
    storage: Storage,
    board: Any,
    max_failures: int,
) -> None:
    """Lets workers train together; returns when all have.

    Args:
        train_worker: what each does, with `settings`; it goes on from the run's last checkpoint.
        settings: plain values and handles.
        workers: how many, and what each has.
        storage: the run's folder.
        board: the handle of a `Board`, which is told how often workers died.
        max_failures: how often they are started again, their controller's deaths counted.

    Raises:
        Exception: what ended the first worker that says so, instead of all their tracebacks.
    """
    failures = 0
    before = _places()
    try:
        while True:
            try:
                _trainer(
                    train_worker,
                    settings,
                    workers,
                    storage=storage,
                    max_failures=max_failures - failures,
                    listener=_Failures(board, failures),
                ).fit()
                return
            except RayActorError as error:
                # With it its workers go, which it owns; Ray starts neither again.
                told: Any = ray.get(board.latest.remote())
                number = max(failures, int(told.get(_FAILURES_KEY, {}).get("number", 0)))
                failures = number + 1
                if isinstance(error, RayTaskError) or failures > max_failures:
                    raise
                board.tell.remote(_FAILURES_KEY, {"number": failures})
                _give_back(_places() - before)
                storage.delete_tree(_NOTES)
    except Exception as error:
        raise _cause(error) from error
    finally:
        with contextlib.suppress(UserError):
            storage.delete_tree(_NOTES)


def worker_device() -> torch.device:
    """Where this worker computes: its GPU, or the CPU where it has none that torch can use."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return get_device()


def _trainer(
    train_worker: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    workers: Workers,
    *,
    storage: Storage,
    max_failures: int,
    listener: _Failures,
) -> _Trainer:
    return _Trainer(
        train_worker,
        train_loop_config=dict(settings),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.number,
            use_gpu=workers.num_gpus > 0,
            resources_per_worker={"CPU": workers.num_cpus}
            | ({"GPU": workers.num_gpus} if workers.num_gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            name=_NOTES,
            storage_path=storage.uri.rstrip("/"),
            failure_config=ray.train.FailureConfig(max_failures=max_failures),
            callbacks=[listener],
            logging_config=ray.train.LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _places() -> set[str]:
    """What is set aside for workers in a Ray of our own; in another one, somebody else looks after
    that, see `_Trainer`, and others set places aside, too."""
    if not started_here():
        return set()
    table: Any = placement_group_table()
    return {number for number, place in table.items() if place["state"] != "REMOVED"}


def _give_back(places: set[str]) -> None:
    """Gives back what a dead controller had set aside, which else is kept until the job's end."""
    for number in places:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(number))))


class _Trainer(TorchTrainer):
    """Without the actor that cleans up after a driver that was killed, where Ray itself ends with
    this process: it asks the dashboard, which is not started then, and complains every second."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        if not started_here():
            return callbacks
        return [c for c in callbacks if type(c).__name__ != "PlacementGroupCleanerCallback"]


class _Failures(ray.train.UserCallback):
    """Counts how often the workers died; in Ray Train's controller.

    Args:
        board: which is told.
        number: how often they died under earlier controllers.
    """

    def __init__(self, board: Any, number: int):
        self._board = board
        self._number = number

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        self._number += 1
        self._board.tell.remote(_FAILURES_KEY, {"number": self._number})


def _cause(error: BaseException) -> BaseException:
    error = getattr(error, "controller_failure", None) or error  # such as a group that cannot be
    inner = [e for e in getattr(error, "worker_failures", {}).values() if isinstance(e, Exception)]
    said = next((e for e in inner if isinstance(e, UserError)), None) or (inner or [error])[0]
    return getattr(said, "cause", None) or said
