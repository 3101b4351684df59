"""What every worker of a training does: steps, validations, checkpoints.

All workers make the same number of steps and come to every validation, for each has as many batches
in an epoch. The first one writes: checkpoints into the run, figures and pictures into its
TensorBoard folder, how far it is to the board.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from arcadia.media import png_bytes
from arcadia.runs import RunFolder, Shelf
from arcadia.telemetry import Telemetry
from pipelines.colorization.checkpoints import (
    BEGINNING,
    Done,
    begin_from,
    load_state,
    save_state,
)
from pipelines.colorization.data import Share, class_names, shares
from pipelines.colorization.learner import Learner
from pipelines.colorization.loading import Loader
from pipelines.colorization.options import ColorizerOptions
from pipelines.colorization.order import Order, Position
from pipelines.colorization.pages import PICTURES
from pipelines.colorization.validation import NAMES, grid, judge, means

BOARD_KEY = "training"
"""What the board calls what is told of it."""
_LOG_PERIOD = 10  # steps
_TELL_S = 0.3
_NUM_PICTURES = 6
_SETTLED_BY = 512  # pictures, for batch normalisation's statistics of the weights' mean
_KEPT = 2  # checkpoints: the last one, and one more should that be damaged


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The workers of a training, seen from one of them."""

    worker: int = 0
    num_workers: int = 1

    @property
    def is_first(self) -> bool:
        return self.worker == 0

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Of all workers, of each value."""
        if self.num_workers == 1:
            return dict(values)
        summed = self.sum(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, (summed / self.num_workers).tolist(), strict=True))

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Of all workers."""
        if self.num_workers == 1:
            return values
        held = values.to(_device_of_group())
        dist.all_reduce(held)
        return held.cpu()

    def agree(self, value: bool) -> bool:
        """What the first one says."""
        if self.num_workers == 1:
            return value
        held = torch.tensor([int(value)], device=_device_of_group())
        dist.broadcast(held, 0)
        return bool(held.item())


def _device_of_group() -> torch.device:
    """Where tensors must be for the process group to move them."""
    is_nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")


class Training:
    """A worker's part of a training.

    Args:
        run: the run, which all workers can reach.
        training: what is trained on.
        validation: what is judged by; None: nothing is.
        options: how.
        learner: this worker's.
        crew: itself among the others.
        seed: of the order of the pictures.
        num_streams: of a new run; see `order`.
        num_threads: that decode pictures.
        board: where the first one tells how far it is; None: nowhere.
        on_validation: called by the first one with the steps that are done and what came out.
    """

    def __init__(
        self,
        run: RunFolder,
        training: Share,
        validation: Share | None,
        options: ColorizerOptions,
        learner: Learner,
        *,
        crew: Crew,
        seed: int,
        num_streams: int,
        num_threads: int = 1,
        board: Any = None,
        on_validation: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    ):
        self._run, self._training, self._validation = run, training, validation
        self._options, self._learner, self._crew = options, learner, crew
        self._board, self._num_threads = board, num_threads
        self._on_validation = on_validation
        self._done = Done(num_streams=num_streams)
        if run.checkpoints():
            self._done = load_state(run.find_checkpoint()[0], learner)
        elif run.exists(BEGINNING):
            begin_from(run.read_bytes(BEGINNING), learner, class_names(training.data))
        self._order = Order(
            training.rows,
            batch_size=options.batch_size,
            num_streams=self._done.num_streams,
            seed=seed,
        )
        self._saved_at = self._done.step if run.checkpoints() else -1
        self._validated_at = -1
        self._telemetry: Telemetry | None = None
        self._latest: dict[str, float] = {}
        self._told_at = 0.0

    def carry_on(self) -> Done:
        """Trains until the end, or until the board asks to stop; how far it has come."""
        if self._crew.is_first:
            # What belongs to the checkpoint's own step is there; what came after it is void.
            self._telemetry = Telemetry(self._run, ray_metrics=True, start_step=self._done.step + 1)
        try:
            self._steps()
        finally:
            if self._telemetry is not None:
                self._telemetry.close()
        return self._done

    def _steps(self) -> None:
        crew, options = self._crew, self._options
        streams = self._order.streams_of(crew.worker, crew.num_workers)
        loader = Loader(
            self._training.read,
            self._order,
            streams,
            self._done.position,
            crop=options.crop,
            num_threads=self._num_threads,
        )
        began, before = time.perf_counter(), self._done.seconds
        mark, mark_step = began, self._done.step
        stopped = False
        with loader:
            batches = iter(loader)
            while self._done.step < options.steps and not stopped:
                batch = next(batches)
                losses = self._learner.step(batch.images, batch.labels)
                now = time.perf_counter()
                self._done = replace(
                    self._done,
                    step=self._done.step + 1,
                    position=self._order.next(batch.position),
                    seconds=before + now - began,
                )
                step = self._done.step
                if step % _LOG_PERIOD == 0 or step == options.steps:
                    own = {
                        "loss": float(losses.total),
                        "color_loss": float(losses.color),
                        "class_loss": float(losses.classes),
                    }
                    now = time.perf_counter()  # after the device has done its work
                    rate = (step - mark_step) * options.batch_size / max(now - mark, 1e-9)
                    mark, mark_step = now, step
                    self._log(crew.mean(own) | {"images_per_s": rate}, batch.position)
                stopped = crew.agree(self._tell())
                at_end = stopped or step == options.steps
                is_judged = step % options.validation_period == 0 or at_end
                is_kept = step % options.checkpoint_period == 0 or at_end
                if options.ema_decay is not None and (is_judged or is_kept):
                    self._learner.settle_mean(self._training.chunks(options.crop, _SETTLED_BY))
                if is_judged:
                    self._validate()
                if is_kept:
                    self._save()

    def _log(self, values: Mapping[str, float], position: Position) -> None:
        if self._telemetry is not None:
            epoch = position.epoch + (position.batch + 1) / self._order.num_batches
            named = {f"train/{name}": value for name, value in values.items()}
            self._telemetry.scalars(named | {"train/epoch": epoch}, self._done.step)
            self._latest = {"loss": values["loss"], "images/s": values["images_per_s"]}

    def _tell(self) -> bool:
        """Tells the board; whether it asks to stop."""
        now = time.monotonic()
        if not self._crew.is_first or self._board is None or now - self._told_at < _TELL_S:
            return False
        import ray

        self._told_at = now
        self._board.tell.remote(BOARD_KEY, {"step": self._done.step, **self._latest})
        return ray.get(self._board.is_stopped.remote())

    def _validate(self) -> None:
        """Judges the network by the pictures kept aside; the best one so far is kept, too."""
        if self._validation is None or self._validated_at == self._done.step:
            return
        self._validated_at = self._done.step
        share, crew, learner = self._validation, self._crew, self._learner
        batches = share.centred_batches(
            self._options.crop,
            self._options.validation_images,
            worker=crew.worker,
            num_workers=crew.num_workers,
        )
        with learner.evaluating() as network:
            totals = judge(network, batches, learner.pictures).totals(NAMES)
            found = means(NAMES, crew.sum(totals))
            pictures = None
            if crew.is_first:
                some, _ = next(share.centred_batches(self._options.crop, _NUM_PICTURES))
                pictures = grid(network, some, learner.pictures)
        is_best = self._done.best is None or found["ab_mse"] <= self._done.best
        if is_best:
            self._done = replace(self._done, best=found["ab_mse"])
        if self._telemetry is None:
            return
        self._latest |= {"val ab-MSE": found["ab_mse"]}
        named = {f"validation/{name}": value for name, value in found.items()}
        self._telemetry.scalars(named, self._done.step)
        if pictures is not None:
            self._telemetry.image("grey, predicted, truth", pictures, self._done.step)
            self._run.write_bytes(f"{PICTURES}/{self._done.step:09d}.png", png_bytes(pictures))
        self._telemetry.flush()
        if is_best:
            self._publish("best")
        self._on_validation(self._done.step, found)

    def _save(self) -> None:
        if self._crew.is_first and self._saved_at != self._done.step:
            self._saved_at = self._done.step
            if self._telemetry is not None:
                self._telemetry.flush()  # whoever goes on from here does not tell it again
            self._publish("checkpoints")

    def _publish(self, shelf: Shelf) -> None:
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            save_state(Path(folder), self._learner, self._done, class_names(self._training.data))
            keep = 1 if shelf == "best" else _KEPT
            self._run.publish_checkpoint(folder, self._done.step, keep=keep, shelf=shelf)


def train_worker(settings: dict[str, Any]) -> None:
    """What Ray Train starts in each worker.

    Args:
        settings: the addresses of "run", "data" and "validation"; "options", `ColorizerOptions` as
            plain values; "seed", "num_streams", "num_cpus", "board".
    """
    import cv2
    import ray.train
    import ray.train.torch

    from pipelines.colorization.options import options_from
    from pipelines.places import PreparedData

    context, options = ray.train.get_context(), options_from(settings["options"])
    crew = Crew(worker=context.get_world_rank(), num_workers=context.get_world_size())
    device = ray.train.torch.get_device()
    num_cpus = settings["num_cpus"]
    if device.type == "cpu":
        torch.set_num_threads(num_cpus)
    cv2.setNumThreads(1)  # pictures are decoded in threads of their own
    data = PreparedData.open(settings["data"])
    other = settings["validation"]
    training, validation = shares(
        data,
        None if other is None else PreparedData.open(other),
        options.validation_fraction,
        settings["seed"],
    )
    learner = Learner(
        len(data.classes),
        options,
        device=device,
        seed=settings["seed"],
        num_workers=crew.num_workers,
    )
    Training(
        RunFolder.open(settings["run"]),
        training,
        validation,
        options,
        learner,
        crew=crew,
        seed=settings["seed"],
        num_streams=settings["num_streams"],
        num_threads=max(num_cpus // 2, 1),
        board=settings["board"],
    ).carry_on()
