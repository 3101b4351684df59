"""The Ray Data graph: one row a part, longest first, one block a row, a pool of painters.

    plan (driver) -> rows that describe parts -> painters: decode, flow, search -> run's folder
                          |                             |
                          |                             +- a frame: file, then line of the manifest
                          +- board: counts for the progress bar, the request to stop

No pixel passes through Ray: painters read the source themselves and write into the run's folder. A
row comes back with how its part went; what is finished is said by the manifests alone. A part whose
painter is killed is handed to another, which goes on after the last finished frame.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import torch
from ray.data import ActorPoolStrategy

from arcadia.errors import UserError
from arcadia.row_job import RowJob
from arcadia.storage import Storage
from arcadia.workers import Workers, device_of
from pipelines.stylization.config import options_from
from pipelines.stylization.estimate import fit
from pipelines.stylization.moving import motions_of
from pipelines.stylization.parts import Part, longest_first
from pipelines.stylization.plan import VideoPlan, read_style
from pipelines.stylization.results import Manifest, count_start
from pipelines.stylization.stylizer import Stylizer
from pipelines.stylization.sweeps import Work, paint

_CHECK_S = 1.0


class Stopped(Exception):
    """Raised in a painter when the job is asked to end."""


class Painter:
    """Paints parts: an actor of the pool.

    Args:
        run_uri: the run's folder, which this machine can reach.
        options: `StyleOptions` as plain values.
        seed: of the noise.
        num_threads: of the network on a CPU.
        num_gpus: that are its own; 0: it paints on the CPU.
        num_neighbours: painters that may share its device's memory.
        call: tells this use of the pool from others.
        board: where it tells how far it is.
    """

    def __init__(
        self,
        run_uri: str,
        options: Mapping[str, Any],
        seed: int,
        num_threads: int,
        num_gpus: float,
        num_neighbours: int,
        call: str,
        board: Any,
    ):
        import cv2

        self._storage = Storage.at(run_uri)
        self._options = options_from(options)
        self._board = board
        self._call = call
        self._num_neighbours = num_neighbours
        self._checked_at = time.monotonic()
        device = device_of(num_gpus)
        if device.type == "cpu":
            torch.set_num_threads(num_threads)
        cv2.setNumThreads(1)  # flow is computed in threads of its own
        style, style_map = read_style(self._storage)
        self._stylizer = Stylizer(
            self._options, style, style_map_hw=style_map, device=device, seed=seed
        )

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Paints one part as far as it can. The row: `Part`'s fields."""
        part = Part(**row)
        key = {"video": part.video, "number": part.number}
        try:
            self._heed()
            self._paint(part)
        except UserError as error:  # of this video only; others go on
            return key | {"error": str(error)}
        except torch.cuda.OutOfMemoryError:
            return key | {
                "error": "a frame does not fit into this GPU's memory; give --tile 256 or less, a "
                "smaller --size, or --optimiser adam"
            }
        except Stopped:
            return key | {"error": "stopped"}
        except Exception as error:
            traceback.print_exc()  # into this worker's log
            return key | {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        return key | {"error": ""}

    def _paint(self, part: Part) -> None:
        plan = VideoPlan.load(self._storage, part.video)
        fit(self._stylizer, plan.size, self._num_neighbours)
        frames = plan.frames(part.first, part.stop)
        manifest = Manifest(self._storage, part)
        # Ray begins a part again for ever when one painter after another is killed at it.
        count_start(self._storage, part, call=self._call, done=self._done(part, manifest))
        with motions_of(self._storage, plan, frames, self._options) as motions:
            work = Work(
                part=part,
                storage=self._storage,
                stylizer=self._stylizer,
                frames=frames,
                motions=motions,
                manifest=manifest,
                check=self._check,
            )
            for record in paint(work):
                self._tell(part, manifest, record["seconds"])
            self._tell(part, manifest, 0.0)

    def _tell(self, part: Part, manifest: Manifest, seconds: float) -> None:
        record: dict[str, float] = {"done": self._done(part, manifest)}
        if seconds:
            record["seconds"] = seconds
        self._board.tell.remote((part.video, part.number), record)

    @staticmethod
    def _done(part: Part, manifest: Manifest) -> int:
        """Finished frames, times passes."""
        done = len(manifest.passes) * part.num_frames
        return done if manifest.is_complete else done + len(manifest.frames)

    def _check(self, iteration: int) -> None:
        if time.monotonic() - self._checked_at > _CHECK_S:
            self._heed()

    def _heed(self) -> None:
        self._checked_at = time.monotonic()
        if ray.get(self._board.is_stopped.remote()):
            raise Stopped


class Painting:
    """Parts being painted, in the background of this process."""

    def __init__(
        self,
        run_uri: str,
        parts: Sequence[Part],
        options: Mapping[str, Any],
        seed: int,
        workers: Workers,
    ):
        self._job = RowJob()
        rows = [part.to_json() for part in longest_first(parts)]
        painter: Any = Painter  # a class, where Ray's annotation knows functions only
        painted = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            painter,
            fn_constructor_kwargs=dict(
                run_uri=run_uri,
                options=dict(options),
                seed=seed,
                num_threads=workers.num_cpus,
                num_gpus=workers.num_gpus,
                call=secrets.token_hex(8),
                num_neighbours=workers.num_neighbours,
                board=self._job.board,
            ),
            # A part is handed out when a painter is free for it: the longest first.
            compute=ActorPoolStrategy(
                size=min(workers.number, len(rows)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=workers.num_cpus,
            num_gpus=workers.num_gpus,
        )
        self._job.start(painted)

    @property
    def is_over(self) -> bool:
        """Whether nothing is painted any more."""
        return self._job.is_over

    def progress(self) -> tuple[dict[tuple[str, int], int], float]:
        """Finished frames (times passes) by part, and the mean seconds of the latest ones, 0 where
        none was painted."""
        latest: Any = self._job.latest()
        seconds = [record["seconds"] for record in latest.values() if "seconds" in record]
        done = {key: record["done"] for key, record in latest.items()}
        return done, sum(seconds) / len(seconds) if seconds else 0.0

    def returned(self) -> dict[tuple[str, int], str]:
        """Parts that came back, with what went wrong or an empty string."""
        return {(row["video"], row["number"]): row["error"] for row in self._job.rows}

    def stop(self) -> None:
        """Asks the painters to end; what they have finished stays."""
        self._job.stop()

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits for the end; raises what ended it early."""
        self._job.wait(timeout_s)
