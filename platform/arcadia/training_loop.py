"""What every worker of a training does around its steps: figures, validations, checkpoints.

All workers make the same number of steps and come to every validation. The first one writes:
checkpoints into the run, figures into its TensorBoard folder, how far it is to the board.
"""

from __future__ import annotations

import math
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from arcadia.crew import Crew
from arcadia.runs import RunFolder, Shelf
from arcadia.telemetry import Telemetry

_LOG_PERIOD = 10  # steps
_TELL_S = 0.3
_KEPT = 2  # checkpoints: the last one, and one more should that be damaged


@dataclass(frozen=True, kw_only=True)
class Done:
    """How far a training is."""

    step: int = 0
    """Steps that are done."""
    best: float | None = None
    """The least figure that it is judged by so far."""
    seconds: float = 0.0
    """Of training, all attempts together."""


AnyDone = TypeVar("AnyDone", bound=Done)


class Periods(Protocol):
    """Options that the loop goes by, all in steps."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def validation_period(self) -> int: ...
    @property
    def checkpoint_period(self) -> int: ...


class TrainingLoop(ABC, Generic[AnyDone]):
    """A worker's part of a training; what is trained, subclasses say.

    Args:
        run: the run, which all workers can reach.
        options: how long, and how often.
        crew: this worker among the others.
        done: where it goes on.
        board: where the first one tells how far it is; None: nowhere.
        on_validation: called by the first one with the steps that are done and what came out, after
            the checkpoint of that step, if there is to be one.
    """

    judged_by: str
    """Name of the figure of a validation that is best where it is least."""
    judged_label: str
    """What people call it."""
    examples = "examples"
    """What a batch is made of."""

    def __init__(
        self,
        run: RunFolder,
        options: Periods,
        *,
        crew: Crew,
        done: AnyDone,
        board: Any = None,
        on_validation: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    ):
        self._run, self._crew, self._board = run, crew, board
        self._periods = options
        self._on_validation = on_validation
        self._done: AnyDone = done
        self._saved_at = done.step if run.checkpoints() else -1
        self._validated_at = -1
        self._telemetry: Telemetry | None = None
        self._shown: dict[str, float] = {}
        self._told_at = 0.0

    def carry_on(self) -> AnyDone:
        """Trains until the end, or until the board asks to stop; how far it has come.

        Raises:
            FloatingPointError: the loss is no finite number any more; no checkpoint holds that.
        """
        if self._crew.is_first:
            # What belongs to the checkpoint's own step is there; what came after it is void.
            self._telemetry = Telemetry(self._run, ray_metrics=True, start_step=self._done.step + 1)
        try:
            self._go()
        finally:
            if self._telemetry is not None:
                self._telemetry.close()
        return self._done

    @abstractmethod
    def _step(self) -> Mapping[str, Tensor]:
        """Makes one step; its losses, scalars on the device, "loss" among them."""

    @abstractmethod
    def _judge(self) -> dict[str, float] | None:
        """The figures of a validation, the same on all workers; None: there is nothing to judge
        by."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Writes a checkpoint into an empty folder."""

    def _after_step(self) -> AnyDone:
        """How far the step has led, beside the counts that this class keeps."""
        return self._done

    def _figures(self) -> Mapping[str, float]:
        """More to note of a step than its losses."""
        return {}

    def _before_judging(self) -> None:
        """Called by all workers before a validation and before a checkpoint."""

    def _picture(self, telemetry: Telemetry) -> None:
        """Called by the first worker after a validation."""

    def _go(self) -> None:
        crew, periods = self._crew, self._periods
        began, before = time.perf_counter(), self._done.seconds
        mark, mark_step = began, self._done.step
        stopped = False
        while self._done.step < periods.steps and not stopped:
            losses = self._step()
            seconds = before + time.perf_counter() - began
            self._done = replace(self._after_step(), step=self._done.step + 1, seconds=seconds)
            step = self._done.step
            if step % _LOG_PERIOD == 0 or step == periods.steps:
                own = {name: float(value) for name, value in losses.items()}
                now = time.perf_counter()  # after the device has done its work
                rate = (step - mark_step) * periods.batch_size / max(now - mark, 1e-9)
                mark, mark_step = now, step
                found = crew.mean(own)
                self._check(found["loss"])
                self._log(found | {f"{self.examples}_per_s": rate})
            stopped = crew.agree(self._tell())
            at_end = stopped or step == periods.steps
            is_judged = step % periods.validation_period == 0 or at_end
            is_kept = step % periods.checkpoint_period == 0 or at_end
            if is_judged or is_kept:
                self._check(crew.mean({"loss": float(losses["loss"])})["loss"])
                self._before_judging()
            found = self._validate() if is_judged else None
            if is_kept:
                self._save()
            if found is not None:
                self._on_validation(step, found)

    def _check(self, mean_loss: float) -> None:
        """Ends the training, on all workers, where the loss is no finite number."""
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"the loss is {mean_loss} after {self._done.step} steps: lower learning_rate, and "
                "begin anew"
            )

    def _log(self, values: Mapping[str, float]) -> None:
        if self._telemetry is not None:
            named = {f"train/{name}": v for name, v in {**values, **self._figures()}.items()}
            self._telemetry.scalars(named, self._done.step)
            rate = f"{self.examples}_per_s"
            self._shown = {"loss": values["loss"], f"{self.examples}/s": values[rate]}

    def _tell(self) -> bool:
        """Tells the board; whether it asks to stop."""
        now = time.monotonic()
        if not self._crew.is_first or self._board is None or now - self._told_at < _TELL_S:
            return False
        import ray

        from arcadia.ray_train import PROGRESS_KEY

        self._told_at = now
        self._board.tell.remote(PROGRESS_KEY, {"step": self._done.step, **self._shown})
        return ray.get(self._board.is_stopped.remote())

    def _validate(self) -> dict[str, float] | None:
        """Judges; the best network so far is kept, too. The figures, on the first worker."""
        if self._validated_at == self._done.step:
            return None
        found = self._judge()
        if found is None:
            return None
        self._validated_at = self._done.step
        judged = found[self.judged_by]
        is_best = self._done.best is None or judged <= self._done.best
        if is_best:
            self._done = replace(self._done, best=judged)
        if self._telemetry is None:
            return None
        self._shown |= {f"val {self.judged_label}": judged}
        named = {f"validation/{name}": value for name, value in found.items()}
        self._telemetry.scalars(named, self._done.step)
        self._picture(self._telemetry)
        self._telemetry.flush()
        if is_best:
            self._publish("best")
        return found

    def _save(self) -> None:
        if self._crew.is_first and self._saved_at != self._done.step:
            self._saved_at = self._done.step
            if self._telemetry is not None:
                self._telemetry.flush()  # whoever goes on from here does not tell it again
            self._publish("checkpoints")

    def _publish(self, shelf: Shelf) -> None:
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            self._write(Path(folder))
            keep = 1 if shelf == "best" else _KEPT
            self._run.publish_checkpoint(folder, self._done.step, keep=keep, shelf=shelf)
