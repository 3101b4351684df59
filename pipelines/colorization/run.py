"""A training of a colorizer from its first look at the data to its report."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.atomic import held_alone
from arcadia.errors import UserError
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal
from arcadia.workers import Workers, workers_for
from pipelines.colorization.order import num_streams_for
from pipelines.colorization.pages import latest, page

if TYPE_CHECKING:
    from pipelines.colorization.job import TrainOptions

_MEAN_OF = 2_000  # pictures that the mean colour is taken of


class ColorizerRun:
    """A training under way.

    Args:
        run: that goes on; None: a new one.
        command: how it is carried out.
        seed: of a new run.
        words: that started it.
    """

    def __init__(
        self,
        run: RunFolder | None,
        command: TrainOptions,
        seed: int | None = None,
        words: Sequence[str] = (),
    ):
        self._is_new = run is None
        self._seed = seed if run is None else run.seed
        self._command, self._words = command, words
        if run is not None:
            self._run = run
        self._stop = StopSignal()

    def carry_out(self) -> dict[str, Any]:
        """Checks, trains, reports; see `job.train`."""
        from arcadia.cluster import connect, largest_node_cpus
        from pipelines.colorization.data import class_names, shares
        from pipelines.colorization.order import Order
        from pipelines.places import PreparedData

        command, options = self._command, self._command.options
        assert command.data is not None
        data = PreparedData.open(command.data)
        other = None if command.validation is None else PreparedData.open(command.validation)
        seed = self._seed
        assert seed is not None
        self._check_size(data.size)
        self._check_hash(data)
        weights = self._weights(class_names(data))
        resources = connect(command.address)
        workers = workers_for(
            resources,
            command.num_workers or max(int(resources.get("GPU", 0)), 1),
            number=command.num_workers,
            num_cpus=command.num_cpus_per_worker,
            num_gpus=command.num_gpus_per_worker,
            largest_node_cpus=largest_node_cpus(),
        )
        num_streams = self._num_streams(workers.number)
        training, validation = shares(data, other, options.validation_fraction, seed)
        order = Order(
            training.rows, batch_size=options.batch_size, num_streams=num_streams, seed=seed
        )
        self._say(data, training, validation, workers, order.num_batches)
        with self._stop, contextlib.ExitStack() as lock:
            self._begin(lock, data.hash, weights)
            try:
                self._note_mean_color(training)
                self._train(workers, seed, num_streams)
            except BaseException:
                with contextlib.suppress(UserError):
                    self._run.set_status("failed")
                raise
            return self._result()

    def _check_size(self, size: int) -> None:
        crop = self._command.options.crop
        if size < crop:
            raise UserError(
                f"image_size {crop}: the prepared pictures are {size} x {size}; give at most that, "
                f"or prepare them with --size {crop} or more"
            )

    def _check_hash(self, data: Any) -> None:
        """Refuses to go on with other pictures."""
        if not self._is_new and self._run.config["data_hash"] != data.hash:
            raise UserError(
                f"data {data.uri}: was prepared again since, and is not what the run "
                f"{self._run.storage.shown()} has learnt from; start a new run, with --weights"
            )

    def _num_streams(self, num_workers: int) -> int:
        """That the pictures are read in; they stay when a run goes on."""
        from pipelines.colorization.checkpoints import done_of

        number = 0 if self._is_new else done_of(self._run).num_streams
        if number % num_workers:
            raise UserError(
                f"num_workers {num_workers}: the run reads its pictures in {number} streams, which "
                "must be shared out evenly; give a number that divides it"
            )
        return number or num_streams_for(self._command.options.batch_size, num_workers)

    def _weights(self, names: Sequence[str]) -> bytes | None:
        """The file of the network that a new run begins with."""
        weights, network = self._command.weights, self._command.options.network
        if weights is None or not self._is_new:
            return None
        from pipelines.colorization.checkpoints import knows_classes
        from pipelines.colorization.networks import load_colorizer

        load_colorizer(weights, options=network)
        if names and network.global_features and not knows_classes(Path(weights), names):
            print(f"{weights} knows other classes: the classifier is a new one")
        return Path(weights).read_bytes()

    def _say(
        self, data: Any, training: Any, validation: Any, workers: Workers, batches: int
    ) -> None:
        classes = len(data.classes)
        if not classes:
            print("The pictures have no labels: the network is trained without a classifier")
        elif classes == 1:
            print("There is one class alone, from which a classifier learns nothing")
        kept = sum(validation.rows) if validation is not None else 0
        where = "GPU" if workers.num_gpus else f"CPU, {_count(workers.num_cpus, 'thread')}"
        print(
            f"{sum(training.rows):,} pictures of {classes:,} classes to train on, {kept:,} to "
            f"judge by; {batches:,} steps an epoch; {_count(workers.number, 'worker')} ({where})",
            flush=True,
        )

    def _begin(self, lock: contextlib.ExitStack, data_hash: str, weights: bytes | None) -> None:
        """Makes the run if need be, and holds it alone until `lock` is closed."""
        from pipelines.colorization.checkpoints import BEGINNING
        from pipelines.colorization.job import KIND, config_of

        if self._is_new:
            self._run = RunFolder.create(
                self._command.run_dir or default_run_dir(KIND),
                kind=KIND,
                config=config_of(self._command, data_hash),
                seed=self._seed,
                command=self._words,
            )
        run = self._run
        if run.storage.is_local:
            lock.enter_context(held_alone(run.path))
        if weights is not None:
            run.write_bytes(BEGINNING, weights)
        run.set_status("running")
        how = "" if self._is_new else ", which goes on where it was"
        print(f"Run: {run.storage.shown()}{how}", flush=True)

    def _note_mean_color(self, training: Any) -> None:
        """Keeps the mean colour of some of the pictures, the baseline that the run is judged by."""
        from pipelines.colorization.baselines import mean_color
        from pipelines.colorization.evaluate import MEAN_COLOR

        if not self._run.exists(MEAN_COLOR):
            batches = training.centred_batches(self._command.options.crop, _MEAN_OF)
            self._run.write_json(MEAN_COLOR, mean_color(images for images, _ in batches))

    def _train(self, workers: Workers, seed: int, num_streams: int) -> None:
        """Trains until it is done or a signal comes."""
        from arcadia.ray_train import train_watched
        from pipelines.colorization.checkpoints import done_of
        from pipelines.colorization.train import train_worker

        command, run = self._command, self._run
        settings = {
            "run": run.uri,
            "data": run.config["data"],
            "validation": run.config["validation"],
            "options": dataclasses.asdict(command.options),
            "seed": seed,
            "num_streams": num_streams,
            "num_cpus": workers.num_cpus,
        }
        train_watched(
            train_worker,
            settings,
            workers,
            run=run,
            steps=command.options.steps,
            done=lambda: done_of(run).step,
            stop=self._stop,
            minutes=command.minutes,
            max_failures=command.max_failures,
        )

    def _result(self) -> dict[str, Any]:
        from arcadia.report import write_report
        from pipelines.colorization.checkpoints import done_of

        run, done = self._run, done_of(self._run)
        is_whole = done.step >= self._command.options.steps
        run.set_status("completed" if is_whole else "stopped")
        figures = latest(run)
        path: Path | str = write_report(run, page(run))
        print(f"Report: {path}")
        if not is_whole:
            print(f"Stopped; --resume {run.storage.shown()} goes on")
        return {
            "run": run.uri,
            "status": run.status,
            "steps": done.step,
            "epochs": figures.get("train/epoch"),
            "seconds": round(done.seconds, 1),
            "images_per_s": figures.get("train/images_per_s"),
            "validation": {
                name.removeprefix("validation/"): value
                for name, value in figures.items()
                if name.startswith("validation/")
            },
            "best": done.best,
            "report": str(path),
        }


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
