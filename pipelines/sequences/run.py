"""A training of a sequence task from its first checks to its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from arcadia.errors import UserError
from arcadia.training_run import TrainingRun, described
from arcadia.workers import Workers
from pipelines.sequences.job import TrainOptions, config_of, hash_of
from pipelines.sequences.pages import page

if TYPE_CHECKING:
    from arcadia.report import Report
    from arcadia.training_loop import Done


class SequenceRun(TrainingRun[TrainOptions]):
    """See `TrainingRun`."""

    kind = "sequence"

    def _check(self) -> None:
        from pipelines.sequences.tasks import task_of

        task = task_of(self._command.options, self._seed, self._command.data)
        self._options = task.options
        self._described = task.describe()
        self._num_parameters = sum(p.numel() for p in task.make_network().parameters())
        self._data_hash = hash_of(self._command.data)
        if not self._is_new and self._run.config.get("data_hash") != self._data_hash:
            raise UserError(
                f"data {' '.join(self._command.data)}: has changed since, and is not what the run "
                f"{self._run.storage.shown()} has learnt from; start a new run"
            )

    def _divide(self, workers: Workers) -> None:
        options = self._options
        assert options.batch_size is not None
        if options.batch_size % workers.number:
            raise UserError(
                f"num_workers {workers.number}: cannot share a batch_size of {options.batch_size} "
                "evenly; give a number that divides it"
            )
        if self._described:
            print(self._described)
        print(
            f"{options.task.replace('_', ' ')}, activation {options.activation}; "
            f"{self._num_parameters:,} parameters; {described(workers)}",
            flush=True,
        )

    def _config(self) -> Mapping[str, Any]:
        return config_of(self._command, self._data_hash)

    def _worker(self) -> Callable[[dict[str, Any]], None]:
        from pipelines.sequences.train import train_worker

        return train_worker

    def _settings(self) -> Mapping[str, Any]:
        return {
            "options": dataclasses.asdict(self._options),
            "data": self._run.config["data"],
        }

    def _steps(self) -> int:
        assert self._options.steps is not None
        return self._options.steps

    def _done(self) -> Done:
        from pipelines.sequences.checkpoints import done_of

        return done_of(self._run)

    def _page(self) -> Report:
        return page(self._run)
