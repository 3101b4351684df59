"""A command that trains on Ray Train, from its first checks to its report."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from arcadia.atomic import held_alone
from arcadia.runs import RunFolder, default_run_dir
from arcadia.stop import StopSignal
from arcadia.telemetry import read_scalars
from arcadia.training_options import TrainingOptions
from arcadia.workers import Workers, workers_for

if TYPE_CHECKING:
    from arcadia.report import Report
    from arcadia.training_loop import Done

AnyOptions = TypeVar("AnyOptions", bound=TrainingOptions)


class TrainingRun(ABC, Generic[AnyOptions]):
    """A training under way; what is trained, subclasses say, in the order in which it is asked.

    Args:
        run: that goes on; None: a new one.
        command: how it is carried out.
        seed: of a new run.
        words: that started it.
    """

    kind: ClassVar[str]
    """Of its runs."""
    examples: ClassVar[str] = "examples"
    """What a batch is made of; see `TrainingLoop`."""

    def __init__(
        self,
        run: RunFolder | None,
        command: AnyOptions,
        seed: int | None = None,
        words: Sequence[str] = (),
    ):
        found = seed if run is None else run.seed
        assert found is not None
        self._seed = found
        self._is_new = run is None
        self._command, self._words = command, words
        if run is not None:
            self._run = run
        self._stop = StopSignal()

    def carry_out(self) -> dict[str, Any]:
        """Checks, trains, reports.

        Returns:
            `run`, `status`, `steps`, `seconds` (of training, all attempts), how many examples a
            second, the last validation's figures as `validation`, the `best` and `report`.

        Raises:
            UserError: something cannot be used; nothing was written then.
        """
        from arcadia.cluster import connect, largest_node_cpus
        from arcadia.ray_train import train_watched

        command = self._command
        self._check()
        if not self._is_new:
            self._done()  # which says what is wrong with the last checkpoint
        resources = connect(command.address)
        workers = workers_for(
            resources,
            command.num_workers or max(int(resources.get("GPU", 0)), 1),
            number=command.num_workers,
            num_cpus=command.num_cpus_per_worker,
            num_gpus=command.num_gpus_per_worker,
            largest_node_cpus=largest_node_cpus(),
        )
        self._divide(workers)
        with self._stop, contextlib.ExitStack() as lock:
            self._begin(lock)
            self._after_begin()
            train_watched(
                self._worker(),
                {
                    "run": self._run.uri,
                    "seed": self._seed,
                    "num_cpus": workers.num_cpus,
                    **self._settings(),
                },
                workers,
                run=self._run,
                steps=self._steps(),
                done=lambda: self._done().step,
                stop=self._stop,
                minutes=command.minutes,
                max_failures=command.max_failures,
            )
            return self._result()

    @abstractmethod
    def _check(self) -> None:
        """Looks at what the training needs, before Ray starts."""

    @abstractmethod
    def _divide(self, workers: Workers) -> None:
        """Shares the work out among workers, and says what will be done."""

    @abstractmethod
    def _config(self) -> Mapping[str, Any]:
        """What decides the result, for a new run's record."""

    def _after_begin(self) -> None:
        """Writes more into the run, which is there and held alone."""

    @abstractmethod
    def _worker(self) -> Callable[[dict[str, Any]], None]:
        """What Ray Train starts in each worker."""

    @abstractmethod
    def _settings(self) -> Mapping[str, Any]:
        """What a worker gets beside "run", "seed", "num_cpus" and "board"."""

    @abstractmethod
    def _steps(self) -> int:
        """Of the whole training."""

    @abstractmethod
    def _done(self) -> Done:
        """How far it is, by its last checkpoint."""

    @abstractmethod
    def _page(self) -> Report:
        """Its report."""

    def _begin(self, lock: contextlib.ExitStack) -> None:
        """Makes the run if need be, and holds it alone until `lock` is closed."""
        if self._is_new:
            self._run = RunFolder.create(
                self._command.run_dir or default_run_dir(self.kind),
                kind=self.kind,
                config=self._config(),
                seed=self._seed,
                command=self._words,
            )
        run = self._run
        if run.storage.is_local:
            lock.enter_context(held_alone(run.path))
        lock.enter_context(run.noting_failure())
        run.set_status("running")
        how = "" if self._is_new else ", which goes on where it was"
        print(f"Run: {run.storage.shown()}{how}", flush=True)

    def _result(self) -> dict[str, Any]:
        from arcadia.run_report import write_report

        run, done = self._run, self._done()
        is_whole = done.step >= self._steps()
        run.set_status("completed" if is_whole else "stopped")
        figures = {name: float(values[-1]) for name, (_, values) in read_scalars(run).items()}
        path: Path | str = write_report(run, self._page())
        print(f"Report: {path}")
        if not is_whole:
            print(f"Stopped; --resume {run.storage.shown()} goes on")
        rate = f"{self.examples}_per_s"
        return {
            "run": run.uri,
            "status": run.status,
            "steps": done.step,
            "seconds": round(done.seconds, 1),
            rate: figures.get(f"train/{rate}"),
            "validation": {
                name.removeprefix("validation/"): value
                for name, value in figures.items()
                if name.startswith("validation/")
            },
            "best": done.best,
            "report": str(path),
        }


def described(workers: Workers) -> str:
    """Workers as people read them: "2 workers (CPU, 1 thread)"."""
    where = "GPU" if workers.num_gpus else f"CPU, {counted(workers.num_cpus, 'thread')}"
    return f"{counted(workers.number, 'worker')} ({where})"


def counted(number: int, what: str) -> str:
    """A number of things: "1 worker", "2 workers"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
