"""A training of a colorizer from its first look at the data to its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.errors import UserError
from arcadia.telemetry import read_scalars
from arcadia.training_run import TrainingRun, described
from arcadia.workers import Workers
from pipelines.colorization.job import TrainOptions, config_of
from pipelines.colorization.order import num_streams_for
from pipelines.colorization.pages import page

if TYPE_CHECKING:
    from arcadia.report import Report
    from pipelines.colorization.checkpoints import Done
    from pipelines.places import PreparedData

_MEAN_OF = 2_000  # pictures that the mean colour is taken of


class ColorizerRun(TrainingRun[TrainOptions]):
    """See `TrainingRun`."""

    kind, examples = "colorizer", "images"

    def carry_out(self) -> dict[str, Any]:
        """As `TrainingRun`, and `epochs`."""
        result = super().carry_out()
        epochs = read_scalars(self._run).get("train/epoch")
        return result | {"epochs": None if epochs is None else float(epochs[1][-1])}

    def _check(self) -> None:
        from pipelines.colorization.data import class_names
        from pipelines.places import PreparedData

        command = self._command
        assert command.data is not None
        self._data = PreparedData.open(command.data)
        other = command.validation
        self._other = None if other is None else PreparedData.open(other)
        self._check_size(self._data, "prepared pictures")
        if self._other is not None:
            self._check_size(self._other, "pictures of validation")
        self._check_hash(self._data)
        self._weights = self._read_weights(class_names(self._data))

    def _divide(self, workers: Workers) -> None:
        from pipelines.colorization.data import shares
        from pipelines.colorization.order import Order

        options, seed = self._command.options, self._seed
        self._num_streams = self._num_streams_for(workers.number)
        self._training, validation = shares(
            self._data, self._other, options.validation_fraction, seed
        )
        order = Order(
            self._training.rows,
            batch_size=options.batch_size,
            num_streams=self._num_streams,
            seed=seed,
        )
        self._say(validation, workers, order.num_batches)

    def _config(self) -> Mapping[str, Any]:
        return config_of(self._command, self._data.hash)

    def _after_begin(self) -> None:
        """Keeps what it begins with, and the mean colour of some of the pictures, the baseline that
        it is judged by."""
        from pipelines.colorization.baselines import mean_color
        from pipelines.colorization.checkpoints import BEGINNING
        from pipelines.colorization.evaluate import MEAN_COLOR

        if self._weights is not None:
            self._run.write_bytes(BEGINNING, self._weights)
        if not self._run.exists(MEAN_COLOR):
            batches = self._training.centred_batches(self._command.options.crop, _MEAN_OF)
            self._run.write_json(MEAN_COLOR, mean_color(images for images, _ in batches))

    def _worker(self) -> Callable[[dict[str, Any]], None]:
        from pipelines.colorization.train import train_worker

        return train_worker

    def _settings(self) -> Mapping[str, Any]:
        return {
            "data": self._run.config["data"],
            "validation": self._run.config["validation"],
            "options": dataclasses.asdict(self._command.options),
            "num_streams": self._num_streams,
        }

    def _steps(self) -> int:
        return self._command.options.steps

    def _done(self) -> Done:
        from pipelines.colorization.checkpoints import done_of

        return done_of(self._run)

    def _page(self) -> Report:
        return page(self._run)

    def _check_size(self, data: PreparedData, what: str) -> None:
        crop, size = self._command.options.crop, data.size
        if size < crop:
            raise UserError(
                f"image_size {crop}: the {what} are {size} x {size}; give at most that, or prepare "
                f"them with --size {crop} or more"
            )

    def _check_hash(self, data: Any) -> None:
        """Refuses to go on with other pictures."""
        if not self._is_new and self._run.config.get("data_hash") != data.hash:
            raise UserError(
                f"data {data.uri}: was prepared again since, and is not what the run "
                f"{self._run.storage.shown()} has learnt from; start a new run, with --weights"
            )

    def _num_streams_for(self, num_workers: int) -> int:
        """That the pictures are read in; they stay when a run goes on."""
        from pipelines.colorization.checkpoints import done_of

        number = 0 if self._is_new else done_of(self._run).num_streams
        if number % num_workers:
            raise UserError(
                f"num_workers {num_workers}: the run reads its pictures in {number} streams, which "
                "must be shared out evenly; give a number that divides it"
            )
        return number or num_streams_for(self._command.options.batch_size, num_workers)

    def _read_weights(self, names: Sequence[str]) -> bytes | None:
        """The file of the network that a new run begins with."""
        weights, network = self._command.weights, self._command.options.network
        if weights is None or not self._is_new:
            return None
        from pipelines.colorization.checkpoints import knows_classes
        from pipelines.colorization.files import load_colorizer

        load_colorizer(weights, options=network)
        if names and network.global_features and not knows_classes(Path(weights), names):
            print(f"{weights} knows other classes: the classifier is a new one")
        return Path(weights).read_bytes()

    def _say(self, validation: Any, workers: Workers, batches: int) -> None:
        classes = len(self._data.classes)
        if not classes:
            print("The pictures have no labels: the network is trained without a classifier")
        elif classes == 1:
            print("There is one class alone, from which a classifier learns nothing")
        kept = sum(validation.rows) if validation is not None else 0
        print(
            f"{sum(self._training.rows):,} pictures of {classes:,} classes to train on, {kept:,} "
            f"to judge by; {batches:,} steps an epoch; {described(workers)}",
            flush=True,
        )
