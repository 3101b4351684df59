"""What listens to a sweep: TensorBoard, Weights & Biases, MLflow, and the wish to stop."""

from __future__ import annotations

import importlib.util
import signal
from types import FrameType
from typing import Any, ClassVar

from ray.tune import Callback
from ray.tune.logger import TBXLoggerCallback

from arcadia.errors import UserError
from arcadia.sweep_record import KeepRecord


class TensorBoard(TBXLoggerCallback):
    """Tune's own, whose x-axis is what the trials count instead of their reports.

    It also writes what TensorBoard's page of hyper-parameters shows.

    Args:
        time: name of what they count, such as environment steps.
    """

    def __init__(self, time: str):
        super().__init__()
        self._time = time

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Called by Tune with each report of a trial."""
        at = result.get(self._time)
        # Of this name Tune's logger takes the x-axis.
        super().log_trial_result(iteration, trial, {**result, "timesteps_total": at})


class Stopping(Callback):
    """Lets SIGTERM, which `ray job stop` sends, do what Tune does at SIGINT: save, and end.

    Tune sets its handler as it starts, and a sweep that is restored has its callbacks from a file:
    so that this hangs on the class, of which a process runs one sweep at a time.
    """

    requested: ClassVar[bool] = False
    """Whether a signal came during the last sweep."""

    def setup(self, *args: Any, **info: Any) -> None:
        """Called by Tune when it has set its handler."""
        Stopping.requested = False
        try:
            ends = signal.getsignal(signal.SIGINT)
        except ValueError:
            return
        if not callable(ends):
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            Stopping.requested = True
            ends(number, frame)

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, on_signal)
        except ValueError:  # not in the main thread: whoever is there handles signals
            return


def callbacks(*, time: str, wandb: str | None, mlflow: str | None) -> list[Callback]:
    """Those of a new sweep.

    Args:
        time: what the trials count.
        wandb: project of Weights & Biases that gets the trials, if any.
        mlflow: experiment of MLflow that gets them, if any, on the server that MLFLOW_TRACKING_URI
            names, else in the folder mlruns.

    Raises:
        UserError: a package is missing.
    """
    found: list[Callback] = [TensorBoard(time), Stopping(), KeepRecord()]
    if wandb is not None:
        _check_there("wandb", wandb)
        from ray.air.integrations.wandb import WandbLoggerCallback

        found.append(WandbLoggerCallback(project=wandb))
    if mlflow is not None:
        _check_there("mlflow", mlflow)
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        found.append(MLflowLoggerCallback(experiment_name=mlflow))
    return found


def _check_there(package: str, value: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f'{package} "{value}": the package {package} is not installed; in Arcadia\'s '
            f"folder: pip install -c constraints.txt -e '.[{package}]'; or leave --{package} out"
        )
