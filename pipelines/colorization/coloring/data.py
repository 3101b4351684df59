"""The Ray Data graph: one row a part, films first, one block a row, a pool of workers.

    plan (driver) -> rows that name files -> workers: read, colour, write -> results, manifest
                          |                     |
                          |                     +- board: counts for the progress bar, the
                          |                        request to stop
                          +- rows that come back: what went wrong

No pixel passes through Ray. What is finished is said by the manifests alone; a part whose worker is
killed is handed to another, which goes on behind the last result that is known.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.data import ActorPoolStrategy

from arcadia.errors import UserError
from arcadia.precision import Precision
from arcadia.row_job import RowJob
from arcadia.storage import Storage
from arcadia.workers import Workers, device_of
from pipelines.colorization.coloring.brush import brush_from
from pipelines.colorization.coloring.films import color_film, film_on_disk
from pipelines.colorization.coloring.pictures import NO_ROOM, color_pictures
from pipelines.colorization.coloring.plan import Item, Part
from pipelines.colorization.coloring.results import Manifest, Record

_CHECK_S = 1.0
STOPPED = "stopped"


class Stopped(Exception):
    """Raised in a worker when the job is asked to end."""


class Colorist:
    """Colours parts: an actor of the pool.

    Args:
        run_uri: the run's folder, which this machine can reach.
        outputs: the folder of results, likewise.
        network: a network's file, as a reference to bytes.
        features: of the picture whose global features are borrowed.
        size: see `Brush`.
        precision: see `Brush`.
        crf: of films.
        smoothing: of films.
        num_threads: of the network on a CPU.
        num_gpus: that are its own; 0: it works on the CPU.
        call: tells this use of the pool from others.
        board: where it tells how far it is.
    """

    def __init__(
        self,
        run_uri: str,
        outputs: str,
        network: Sequence[Any],
        features: np.ndarray | None,
        size: int | None,
        precision: Precision,
        crf: int,
        smoothing: float,
        num_threads: int,
        num_gpus: float,
        call: str,
        board: Any,
    ):
        import cv2

        self._storage, self._outputs = Storage.at(run_uri), Storage.at(outputs)
        self._crf, self._smoothing = crf, smoothing
        self._call, self._board = call, board
        self._stopped, self._checked_at, self._written_at = False, 0.0, 0.0
        device = device_of(num_gpus)
        if device.type == "cpu":
            torch.set_num_threads(num_threads)
        cv2.setNumThreads(1)  # files are read and written in threads of their own
        data: Any = ray.get(network[0])
        self._brush = brush_from(data, device, features=features, size=size, precision=precision)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Colours a part as far as it can. The row: `Part.to_row`.

        Returns:
            `part`, and `problems`: of what was not coloured, its number and why, as JSON.
        """
        part = Part.from_row(row)
        problems: dict[int, str] = {}
        try:
            self._heed()
            self._color(part, problems)
        except Stopped:
            problems[-1] = STOPPED
        except UserError as error:
            problems[-1] = str(error)
        except Exception as error:
            traceback.print_exc()  # into this worker's log
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            problems[-1] = f"{part.items[0].shown}: {said}"
        return {"part": part.number, "problems": json.dumps(list(problems.items()))}

    def _color(self, part: Part, problems: dict[int, str]) -> None:
        manifest = Manifest(self._storage, part)
        todo = [item for item in part.items if not manifest.is_done(item, self._outputs)]
        for item in todo:
            manifest.forget(item)
        manifest.begin(self._call)
        try:
            if part.items[0].is_film:
                for item in todo:
                    self._color_film(item, part, manifest, problems)
            else:
                going_on = itertools.takewhile(lambda _: not self._is_stopped(), todo)
                for item, result in color_pictures(going_on, self._brush, self._outputs):
                    if isinstance(result, str):
                        problems[item.number] = result
                    else:
                        manifest.add(result)
                        self._tell(part, pictures=len(manifest.records))
                    if time.monotonic() - self._written_at > _CHECK_S:
                        manifest.write()
                        self._written_at = time.monotonic()
                self._heed()  # when what was begun is written
        finally:
            manifest.write()

    def _color_film(
        self, item: Item, part: Part, manifest: Manifest, problems: dict[int, str]
    ) -> None:
        def on_frame(done: int) -> None:
            if time.monotonic() - self._checked_at > _CHECK_S:
                self._tell(part, frames=done)
            self._heed()

        try:
            with film_on_disk(item.source) as source:
                with self._place(item.output) as path:
                    done = color_film(
                        source,
                        path,
                        self._brush,
                        crf=self._crf,
                        smoothing=self._smoothing,
                        on_frame=on_frame,
                    )
            stamp = self._outputs.stamp(item.output)
            if stamp is None:
                raise UserError(f"{self._outputs.shown(item.output)}: is gone again")
        except UserError as error:
            problems[item.number] = str(error)
            return
        except torch.cuda.OutOfMemoryError:
            problems[item.number] = f"{item.shown}: {NO_ROOM}"
            return
        record = Record(item=item.number, stamp=stamp, frames=done.frames, problem=done.problem)
        manifest.add(record)
        self._tell(part, frames=done.frames)

    def _place(self, name: str) -> contextlib.AbstractContextManager[Path]:
        if self._outputs.is_local:  # films are written beside and renamed
            return contextlib.nullcontext(self._outputs.local_path / name)
        return self._outputs.writing(name)

    def _tell(self, part: Part, **done: float) -> None:
        self._board.tell.remote(part.number, done)

    def _heed(self) -> None:
        if self._is_stopped():
            raise Stopped

    def _is_stopped(self) -> bool:
        """Whether the job is asked to end, as known within a second."""
        now = time.monotonic()
        if now - self._checked_at > _CHECK_S:
            self._checked_at = now
            answer: Any = ray.get(self._board.is_stopped.remote())
            self._stopped = bool(answer)
        return self._stopped


def start(
    run_uri: str,
    outputs: str,
    parts: Sequence[Part],
    workers: Workers,
    *,
    network: bytes,
    features: np.ndarray | None,
    size: int | None,
    precision: Precision,
    crf: int,
    smoothing: float,
) -> RowJob:
    """Begins to colour parts; see `Colorist`.

    Returns:
        The job. Of each part, by its number, its board knows how many `pictures` or `frames` are
        done; its rows are those of `Colorist`.
    """
    job = RowJob()
    colorist: Any = Colorist  # a class, where Ray's annotation knows functions only
    rows = [part.to_row() for part in parts]
    job.start(
        ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            colorist,
            fn_constructor_kwargs=dict(
                run_uri=run_uri,
                outputs=outputs,
                network=[ray.put(network)],  # in a list, so that it is sent as a reference
                features=features,
                size=size,
                precision=precision,
                crf=crf,
                smoothing=smoothing,
                num_threads=workers.num_cpus,
                num_gpus=workers.num_gpus,
                call=secrets.token_hex(8),
                board=job.board,
            ),
            compute=ActorPoolStrategy(
                size=min(workers.number, len(rows)),
                # Ray Data hands out work only some tenths of a second after a worker is free. A
                # second part waits there for pictures; a film should not wait behind another.
                max_tasks_in_flight_per_actor=1 if parts[0].items[0].is_film else 2,
            ),
            num_cpus=workers.num_cpus,
            num_gpus=workers.num_gpus,
        )
    )
    return job
