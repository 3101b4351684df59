"""The Ray Data graph: one row a part, one block a row, a task for each.

    plan (driver) -> rows: numbers of parts -> tasks: read, decode, resize, encode -> shard
                          |                      |                                      |
                          |                      +- board: counts, the request to stop  v
                          +- rows that come back: what went wrong              record of the part

No picture passes through Ray: tasks read the source themselves, which all machines must see, and
write into the data set. What is finished is said by the records of the parts alone.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import ray

from arcadia.errors import UserError
from arcadia.row_job import RowJob
from arcadia.storage import Storage
from pipelines.places.config import PrepareOptions
from pipelines.places.plan import Plan
from pipelines.places.shards import Part

_TELL_S = 0.5


class Stopped(Exception):
    """Raised in a task when the job is asked to end."""


def start(out: str, parts: Iterable[int], options: PrepareOptions) -> RowJob:
    """Begins to prepare parts.

    Args:
        out: the data set, with its plan.
        parts: numbers, at least one.
        options: how.

    Returns:
        The job. Of each part, by its number, its board knows how many were `read`, and how many
        rejected under each reason; its rows have `part` and `error`, an empty string where all
        went well.
    """
    rows = [{"part": part} for part in parts]
    job = RowJob()
    prepare: Any = _prepare  # with the arguments below, where Ray's annotation knows of none
    job.start(
        ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            prepare,
            fn_kwargs=dict(
                out=out,
                options=dataclasses.asdict(options),
                call=secrets.token_hex(8),
                board=job.board,
            ),
            num_cpus=1,
        )
    )
    return job


def _prepare(
    row: Mapping[str, Any], *, out: str, options: Mapping[str, Any], call: str, board: Any
) -> dict[str, Any]:
    import cv2

    cv2.setNumThreads(1)  # there is a task for each CPU
    number = int(row["part"])
    heed = _Telling(board, number)
    error = ""
    try:
        storage = Storage.at(out)
        plan = Plan.load(storage)
        part = Part(
            storage, plan, number, PrepareOptions(**options), call=call, on_image=heed.on_image
        )
        part.carry_out()
        heed.tell()
    except Stopped:
        error = "stopped"
    except UserError as problem:
        error = str(problem)
    except Exception as problem:
        traceback.print_exc()  # into this worker's log
        error = f"part {number}: {type(problem).__name__}: {problem}".splitlines()[0]
    return {"part": number, "error": error}


class _Telling:
    """Tells the board how far a part is, and heeds its request to stop."""

    def __init__(self, board: Any, number: int):
        self._board = board
        self._number = number
        self._record = {"read": 0}
        self._told_at = 0.0

    def on_image(self, read: int, rejected: Mapping[str, int]) -> None:
        self._record = {"read": read, **rejected}
        if time.monotonic() - self._told_at > _TELL_S:
            self.tell()
            if ray.get(self._board.is_stopped.remote()):
                raise Stopped

    def tell(self) -> None:
        self._told_at = time.monotonic()
        self._board.tell.remote(self._number, self._record)
