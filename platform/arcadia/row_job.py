"""A Ray Data job whose rows describe work, carried out in the background of this process.

rows (driver) -> workers (tasks or actors of Ray Data) -> files
     |               |
     |               +- board: how far each is, the request to stop
     +- rows that come back: how each piece of work went
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import ray
from ray.data import DataContext, Dataset
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from arcadia.board import Board
from arcadia.cluster import quiet_data


class RowJob:
    """A job under way.

    Attributes:
        board: the handle of a `Board` on this machine, for workers.
        rows: those that came back so far.
    """

    def __init__(self) -> None:
        self.board = make_board()
        self.rows: list[dict[str, Any]] = []
        self._failure: BaseException | None = None
        quiet_data()
        DataContext.get_current().enable_progress_bars = False

    def start(self, dataset: Dataset) -> None:
        """Carries the dataset out; call it once."""
        self._thread = threading.Thread(target=self._consume, args=(dataset,), daemon=True)
        self._thread.start()

    def _consume(self, dataset: Dataset) -> None:
        try:
            for row in dataset.iter_rows():
                self.rows.append(row)
        except BaseException as error:
            self._failure = error

    @property
    def is_over(self) -> bool:
        """Whether nobody works any more."""
        return not self._thread.is_alive()

    def latest(self) -> dict[Hashable, dict[str, float]]:
        """See `Board.latest`."""
        return ray.get(self.board.latest.remote())

    def stop(self) -> None:
        """Asks the workers to end; what they have finished stays."""
        ray.get(self.board.stop.remote())

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits for the end; raises what ended it early."""
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure


def make_board() -> Any:
    """The handle of a `Board` on this machine, which comes back should it die."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    board: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board)  # type: ignore[call-overload]
    return board.options(scheduling_strategy=here).remote()
