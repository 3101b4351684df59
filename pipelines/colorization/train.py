"""What every worker of a training does: learns from its share of the pictures, judges by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arcadia.crew import Crew
from arcadia.media import png_bytes
from arcadia.runs import RunFolder
from arcadia.telemetry import Telemetry
from arcadia.training_loop import TrainingLoop
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
from pipelines.colorization.order import Order
from pipelines.colorization.pages import PICTURES
from pipelines.colorization.validation import NAMES, grid, judge, means

_NUM_PICTURES = 6
_SETTLED_BY = 512  # pictures, for batch normalisation's statistics of the weights' mean


class Training(TrainingLoop[Done]):
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

    judged_by, judged_label, examples = "ab_mse", "ab-MSE", "images"

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
        self._training, self._validation = training, validation
        self._options, self._learner, self._num_threads = options, learner, num_threads
        done = Done(num_streams=num_streams)
        if run.checkpoints():
            done = load_state(run.find_checkpoint()[0], learner)
        elif run.exists(BEGINNING):
            begin_from(run.read_bytes(BEGINNING), learner, class_names(training.data))
        self._order = Order(
            training.rows, batch_size=options.batch_size, num_streams=done.num_streams, seed=seed
        )
        self._position = done.position  # of the batch that was learnt from last
        super().__init__(
            run, options, crew=crew, done=done, board=board, on_validation=on_validation
        )

    def carry_on(self) -> Done:
        """See `TrainingLoop`."""
        loader = Loader(
            self._training.read,
            self._order,
            self._order.streams_of(self._crew.worker, self._crew.num_workers),
            self._done.position,
            crop=self._options.crop,
            num_threads=self._num_threads,
        )
        with loader:
            self._batches = iter(loader)
            return super().carry_on()

    def _step(self) -> Mapping[str, Tensor]:
        batch = next(self._batches)
        self._position = batch.position
        losses = self._learner.step(batch.images, batch.labels)
        return {
            "loss": losses.total,
            "color_loss": losses.color,
            "class_loss": losses.classes,
        }

    def _after_step(self) -> Done:
        return replace(self._done, position=self._order.next(self._position))

    def _figures(self) -> Mapping[str, float]:
        position, annealing = self._position, self._learner.annealing
        epoch = position.epoch + (position.batch + 1) / self._order.num_batches
        return {"epoch": epoch} | ({} if annealing is None else {"noise_c": annealing.c})

    def _before_judging(self) -> None:
        if self._options.ema_decay is not None:
            self._learner.settle_mean(self._training.chunks(self._options.crop, _SETTLED_BY))

    def _judge(self) -> dict[str, float] | None:
        if self._validation is None:
            return None
        share, crew = self._validation, self._crew
        batches = share.centred_batches(
            self._options.crop,
            self._options.validation_images,
            worker=crew.worker,
            num_workers=crew.num_workers,
        )
        with self._learner.evaluating() as network:
            totals = judge(network, batches, self._learner.pictures).totals(NAMES)
        return means(NAMES, crew.sum(totals))

    def _picture(self, telemetry: Telemetry) -> None:
        assert self._validation is not None
        some, _ = next(self._validation.centred_batches(self._options.crop, _NUM_PICTURES))
        with self._learner.evaluating() as network:
            pictures = grid(network, some, self._learner.pictures)
        telemetry.image("grey, predicted, truth", pictures, self._done.step)
        self._run.write_bytes(f"{PICTURES}/{self._done.step:09d}.png", png_bytes(pictures))

    def _write(self, folder: Path) -> None:
        save_state(folder, self._learner, self._done, class_names(self._training.data))


def train_worker(settings: dict[str, Any]) -> None:
    """What Ray Train starts in each worker.

    Args:
        settings: the addresses of "run", "data" and "validation"; "options", `ColorizerOptions` as
            plain values; "seed", "num_streams", "num_cpus", "board".
    """
    import cv2
    import ray.train

    from arcadia.ray_train import worker_device
    from pipelines.colorization.options import options_from
    from pipelines.places import PreparedData

    context, options = ray.train.get_context(), options_from(settings["options"])
    crew = Crew(worker=context.get_world_rank(), num_workers=context.get_world_size())
    device = worker_device()
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
