"""A colouring from its plan to its report."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.atomic import held_alone
from arcadia.errors import Incomplete, UserError
from arcadia.gauges import Gauges
from arcadia.media import check_sink, probe, read_image
from arcadia.progress import Progress
from arcadia.runs import RunFolder
from arcadia.stop import StopSignal
from arcadia.storage import Storage
from arcadia.workers import Workers, workers_for
from pipelines.colorization.coloring.plan import Item, Part, Plan, parts_of
from pipelines.colorization.coloring.results import Manifest, Record

if TYPE_CHECKING:
    import numpy as np

    from pipelines.colorization.coloring.brush import Weights
    from pipelines.colorization.coloring.job import ColorizeOptions

ITEMS = "items.json"
"""File of a run: what is coloured, and the folder of results."""
_PERIOD_S = 0.5


class Coloring:
    """A run under way.

    Args:
        run: where everything is, or where it will be.
        command: how it is carried out.
        weights: the network's file.
        plan: what is coloured.
        create: makes the run. Nothing is written before all that can be refused is known.
    """

    def __init__(
        self,
        run: RunFolder,
        command: ColorizeOptions,
        weights: Weights,
        plan: Plan,
        create: Callable[[], RunFolder] | None = None,
    ):
        self._run = run
        self._command = command
        self._weights = weights
        self._plan = plan
        self._create = create
        self._outputs = Storage.at(plan.folder)
        self._parts = parts_of(plan.items)
        self._began = time.monotonic()
        self._problems: list[str] = []
        self._stop = StopSignal()

    def carry_out(self) -> dict[str, Any]:
        """Checks, colours, reports; see `job.colorize`."""
        from arcadia.cluster import connect, largest_node_cpus

        features = self._features()
        if len(self._plan.items) == 1:
            self._check_readable(self._plan.items[0])
        self._check_outputs()
        command = self._command
        resources = connect(command.address)
        workers = workers_for(
            resources,
            len(self._parts),
            number=command.num_workers,
            num_cpus=command.num_cpus_per_worker,
            num_gpus=command.num_gpus_per_worker,
            largest_node_cpus=largest_node_cpus(),
        )
        with self._stop, contextlib.ExitStack() as lock:
            self._begin(lock)
            began, before = time.monotonic(), self._num_colored()
            self._color(workers, features)
            return self._end(self._num_colored() - before, time.monotonic() - began)

    def _features(self) -> np.ndarray | None:
        """Those of the picture that is borrowed from."""
        from pipelines.colorization.coloring.brush import features_of
        from pipelines.colorization.files import describe_colorizer, load_colorizer

        style = self._command.style_from
        if style is None:
            return None
        if not describe_colorizer(self._weights.path)["options"].global_features:
            raise UserError(
                f"style_from {style}: the network {self._weights.name} was trained without global "
                "features, which are what is borrowed; use another network, or leave it out"
            )
        return features_of(load_colorizer(self._weights.path), read_image(style))

    @staticmethod
    def _check_readable(item: Item) -> None:
        """Refuses what cannot be read where nothing else is to be done."""
        from pipelines.colorization.coloring.pictures import decode_picture

        if not item.is_film:
            decode_picture(item.source)
        elif "://" not in item.source:
            probe(item.source)

    def _check_outputs(self) -> None:
        """Refuses places for results before any work is done."""
        inputs = [item.source for item in self._plan.items]
        style = self._command.style_from
        others = [name for name in (style, str(self._weights.path)) if name is not None]
        same = _Files([*inputs, *others])
        is_over = self._create is None and self._run.status == "completed"
        for part in self._parts:
            # What an unfinished run has written itself is in nobody's way.
            is_own = not is_over and self._create is None and self._manifest(part).is_begun
            for item in part.items:
                self._check_output(item, same, may_be_there=self._command.overwrite or is_own)

    def _check_output(self, item: Item, inputs: _Files, *, may_be_there: bool) -> None:
        shown = self._outputs.shown(item.output)
        if self._outputs.is_local:
            path = self._outputs.local_path / item.output
            if (source := inputs.same_as(path)) is not None:
                raise UserError(f"{shown}: would write over the input {source}; give another name")
            if item.is_film and "://" not in item.source:
                audio_from = item.source if _has_audio(item.source) else None
                check_sink(path, audio_from=audio_from, overwrite=may_be_there)
                return
            if not may_be_there and path.exists():
                raise UserError(f"{shown}: exists; give another name, or --overwrite to replace it")
        elif not may_be_there and self._outputs.exists(item.output):
            raise UserError(f"{shown}: exists; give another name, or --overwrite to replace it")

    def _begin(self, lock: contextlib.ExitStack) -> None:
        """Makes the run if need be, and holds it alone until `lock` is closed."""
        if self._create is not None:
            self._run = self._create()
        run = self._run
        if run.storage.is_local:
            lock.enter_context(held_alone(run.path))
        lock.enter_context(run.noting_failure())
        if not run.exists(ITEMS):
            save_items(run, self._plan)
        run.set_status("running")
        how = ", which goes on where it was" if self._create is None else ""
        print(f"Run: {run.storage.shown()}{how}", flush=True)

    def _color(self, workers: Workers, features: np.ndarray | None) -> None:
        """Colours what is not done, until it is or a signal comes."""
        todo = [part for part in self._parts if self._left(part)]
        if not todo or self._stop.requested:
            return
        from pipelines.colorization.coloring import data

        command = self._command
        units = {part.number: self._units(part) for part in self._parts}
        done = dict(units)
        for part in todo:
            is_film = part.items[0].is_film
            done[part.number] = 0 if is_film else len(part.items) - len(self._left(part))
        job = data.start(
            self._run.uri,
            self._plan.folder,
            todo,
            workers,
            network=self._weights.path.read_bytes(),
            features=features,
            size=command.size,
            precision=command.precision,
            crf=command.crf,
            smoothing=command.smoothing,
        )
        total = sum(units.values())
        gauges = Gauges(self._run.storage, self._run.kind)
        with gauges, Progress(total, self._unit, "Colouring", start=sum(done.values())) as progress:
            while not job.is_over:
                job.wait(_PERIOD_S)
                latest: Any = job.latest()
                done |= {part: int(sum(told.values())) for part, told in latest.items()}
                progress.update(min(sum(done.values()), total))
                gauges.set(
                    {
                        "pictures/done": sum(done.values()),
                        "pictures/rejected": len(_said(job.rows)),
                        "pictures/per_s": progress.rate,
                        "queue/depth": len(todo) - len(job.rows),
                    }
                )
                if self._stop.requested:  # each time: the board may have been restarted
                    job.stop()
            job.wait()
        self._problems += _said(job.rows)

    def _end(self, colored: int, seconds: float) -> dict[str, Any]:
        from arcadia.run_report import write_report
        from pipelines.colorization.coloring.pages import page, save_comparisons

        records = self._records()
        done = [item for item in self._plan.items if item.number in records]
        self._problems += [r.problem for r in records.values() if r.problem]
        is_whole = len(done) == len(self._plan.items)
        was_stopped = self._stop.requested and not is_whole
        report: Path | str | None = None
        try:
            self._run.set_status(
                "completed" if is_whole else "stopped" if was_stopped else "failed",
                colored=len(done),
                problems=self._problems[:100],
            )
            if done:
                save_comparisons(self._run, self._outputs, done)
                report = write_report(self._run, page(self._run))
        except UserError as error:  # the disk is full: what was done is told all the same
            self._problems.append(str(error))
        films = [item for item in done if item.is_film]
        result = {
            "run": self._run.uri,
            "outputs": [self._outputs.shown(item.output) for item in done],
            "images": len(done) - len(films),
            "films": len(films),
            "frames": sum(records[film.number].frames for film in films),
            "colored": colored,
            "seconds": round(time.monotonic() - self._began, 1),
            "images_per_s": round(colored / seconds, 3) if colored else None,
            "report": None if report is None else str(report),
            "problems": self._problems,
        }
        self._say(done, report)
        if was_stopped:
            print(f"Stopped; the same words or --resume {self._run.storage.shown()} go on")
            raise Incomplete("stopped before all was coloured; what is finished is kept", result)
        if self._problems:
            few = self._problems[:5]
            more = len(self._problems) - len(few)
            raise Incomplete("; ".join(few) + (f"; and {more:,} more" if more else ""), result)
        return result

    def _say(self, done: Sequence[Item], report: Path | str | None) -> None:
        if len(done) <= 3:
            for item in done:
                print(f"Coloured: {self._outputs.shown(item.output)}")
        else:
            print(f"Coloured: {len(done):,} files in {self._outputs.shown()}")
        if report is not None:
            print(f"Report: {report}")

    @property
    def _unit(self) -> str:
        kinds = {item.is_film for item in self._plan.items}
        return (
            "pictures and frames" if len(kinds) > 1 else "frames" if True in kinds else "pictures"
        )

    def _manifest(self, part: Part) -> Manifest:
        return Manifest(self._run.storage, part)

    def _records(self) -> dict[int, Record]:
        """Of all results that are there as they were written."""
        return {
            item.number: manifest.records[item.number]
            for part in self._parts
            for manifest in [self._manifest(part)]
            for item in part.items
            if manifest.is_done(item, self._outputs)
        }

    def _num_colored(self) -> int:
        """Pictures and frames."""
        return sum(record.frames for record in self._records().values())

    def _left(self, part: Part) -> list[Item]:
        manifest = self._manifest(part)
        return [item for item in part.items if not manifest.is_done(item, self._outputs)]

    @staticmethod
    def _units(part: Part) -> int:
        """Pictures, or frames as far as they can be counted here."""
        item = part.items[0]
        if not item.is_film:
            return len(part.items)
        with contextlib.suppress(UserError):
            if "://" not in item.source:
                return probe(item.source).num_frames
        return 1


def _said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What could not be coloured, of the parts that came back."""
    from pipelines.colorization.coloring.data import STOPPED

    said = (text for row in rows for _, text in json.loads(row["problems"]))
    return [text for text in said if text != STOPPED]


class _Files:
    """Files that must not be written over, through links neither."""

    def __init__(self, paths: Sequence[str]):
        self._paths = {}
        for path in paths:
            if "://" not in path and (place := Path(path)).exists():
                stat = place.stat()
                self._paths[stat.st_dev, stat.st_ino] = path

    def same_as(self, path: Path) -> str | None:
        """The one of them that a path leads to."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return self._paths.get((stat.st_dev, stat.st_ino))


def _has_audio(path: str) -> bool:
    try:
        return probe(path).has_audio
    except UserError:
        return False  # told when it is read


def save_items(run: RunFolder, plan: Plan) -> None:
    """Notes in a run what it colours."""
    items = [[item.source, item.output, item.is_film] for item in plan.items]
    state = {"folder": plan.folder, "items": items}
    run.write_bytes(ITEMS, json.dumps(state).encode())


def load_items(run: RunFolder) -> tuple[str, list[Item]]:
    """The folder of results and what is coloured, of a run."""
    state = run.read_json(ITEMS)
    items = [
        Item(number=number, source=source, output=output, is_film=is_film)
        for number, (source, output, is_film) in enumerate(state["items"])
    ]
    return state["folder"], items
