"""A preparation under way: planned, prepared, summed up."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from arcadia.atomic import held_alone
from arcadia.errors import Incomplete, UserError
from arcadia.gauges import Gauges
from arcadia.progress import Progress
from arcadia.provenance import versions
from arcadia.stop import StopSignal
from arcadia.storage import Storage
from pipelines.places.images import LITTLE_COLOR
from pipelines.places.job import PlacesOptions, identity
from pipelines.places.labels import Classes, read_categories
from pipelines.places.plan import Plan, check_same, make_plan
from pipelines.places.prepared import KIND, MANIFEST, VERSION, PreparedData, content_hash
from pipelines.places.shards import part_name
from pipelines.places.sources import Source

REJECTED = "rejected.csv"

_PERIOD_S = 0.5
_OWN = {"work", "parts", "shards", ".lock", REJECTED}
_EARLY_IMAGES = 256  # of fewer, chance decides which fraction is bad
_EARLY_DEVIATIONS = 4.0


class Preparation:
    """What `arcadia places prepare` does.

    Args:
        command: its words.
    """

    def __init__(self, command: PlacesOptions):
        self._command = command
        self._options = command.options
        self._config = identity(command)
        self._storage = Storage.at(command.out)
        self._stop = StopSignal()
        self._began = time.monotonic()

    def carry_out(self) -> dict[str, Any]:
        """See `job.prepare`."""
        from arcadia.cluster import connect

        storage = self._storage
        if storage.exists(MANIFEST):
            data = PreparedData.open(storage.uri)
            check_same(storage, data.manifest["config"], self._config)
            print(f"{storage.shown()}: is prepared already", flush=True)
            return self._result(data.manifest)
        source, categories = None, None
        if not Plan.exists(storage):
            self._check_free()
            source = Source(self._command.src, self._command.list)
            if self._command.categories is not None:
                categories = read_categories(self._command.categories)
        else:
            check_same(storage, Plan.load(storage).config, self._config)
        with self._stop, contextlib.ExitStack() as lock:
            lock.enter_context(self._emptied_again())
            if storage.is_local:
                storage.write_bytes("work/begun", b"")  # there is a folder to hold
                lock.enter_context(held_alone(storage.local_path))
            storage.delete_unfinished("shards")
            if source is None or Plan.exists(storage):
                plan = Plan.load(storage)
                check_same(storage, plan.config, self._config)
            else:
                plan = self._plan(source, categories)
            connect(self._command.address)
            self._prepare_parts(plan)
            manifest = self._sum_up(plan)
        self._say(manifest)
        return self._result(manifest)

    @contextlib.contextmanager
    def _emptied_again(self) -> Iterator[None]:
        """Leaves a new OUT as it was where the source turns out to be none, so that nothing is
        planned."""
        storage = self._storage
        was_there, was_begun = storage.exists(), storage.exists("work")
        try:
            yield
        except UserError:
            if not was_begun and not Plan.exists(storage):
                storage.delete_tree("work")
                if storage.is_local:
                    with contextlib.suppress(OSError):  # where it holds other things
                        (storage.local_path / ".lock").unlink(missing_ok=True)
                        if not was_there:
                            storage.local_path.rmdir()
            raise

    def _check_free(self) -> None:
        names = {name.split("/")[0] for name in self._storage.sizes()}
        if names - _OWN:
            raise UserError(
                f"{self._storage.shown()}: holds other things ({sorted(names - _OWN)[0]}); choose "
                "an empty or new folder as OUT"
            )

    def _plan(self, source: Source, categories: tuple[str, ...] | None) -> Plan:
        print(f"Listing {source.root}", flush=True)
        return make_plan(
            self._storage,
            source,
            Classes(categories, self._command.categories or ""),
            part_images=self._options.shard_images,
            seed=self._config["seed"],
            config=self._config,
            on_batch=lambda listed: self._heed(),
        )

    def _heed(self) -> None:
        if self._stop.requested:
            raise Incomplete("stopped while the source was listed; the same words begin anew", {})

    def _prepare_parts(self, plan: Plan) -> None:
        read = {-1: len(plan.rejected)}
        reasons = {-1: Counter(reason for _, reason in plan.rejected)}
        for part, record in self._records(plan):
            if record is not None:
                read[part], reasons[part] = record["images"], _reasons(record)
        todo = [part for part in range(plan.num_parts) if part not in read]
        done = plan.num_parts - len(todo)
        how = f", of which {done:,} are done: it goes on" if done else ""
        print(
            f"{plan.num_images:,} images, {_counted(len(plan.classes), 'class', 'classes')}, "
            f"{_counted(plan.num_parts, 'part', 'parts')}{how}",
            flush=True,
        )
        if not todo:
            return
        from pipelines.places import data

        job = data.start(self._storage.uri, todo, self._options)
        problem: Exception | None = None
        start = sum(read.values()) - read[-1]
        gauges = Gauges(self._storage, KIND)
        with gauges, Progress(plan.num_images, "images", "Preparing", start=start) as progress:
            is_over = False
            while not is_over:
                is_over = job.is_over
                job.wait(_PERIOD_S)
                latest: Any = job.latest()
                for part, record in latest.items():
                    reasons[part] = Counter({k: int(v) for k, v in record.items() if k != "read"})
                    read[part] = int(record["read"])
                total: Counter[str] = sum(reasons.values(), Counter())
                images = sum(read.values()) - read[-1]
                progress.update(images, rejected=total.total())
                gauges.set(
                    {
                        "pictures/done": images,
                        "pictures/rejected": total.total(),
                        "pictures/per_s": progress.rate,
                        "queue/depth": len(todo) - len(job.rows),
                    }
                )
                problem = problem or self._early(sum(read.values()), total)
                problem = problem or self._failed(job.rows)
                if problem is not None or self._stop.requested:
                    job.stop()
        if problem is not None:
            raise problem
        if any(row["error"] for row in job.rows):
            raise Incomplete(
                "stopped before all was prepared; the same words go on",
                {"out": self._storage.uri, "seconds": self._seconds()},
            )

    def _early(self, read: int, reasons: Counter[str]) -> UserError | None:
        """The end of a source that is bad beyond doubt: parts are random samples of it."""
        limit = self._options.max_rejected_fraction
        margin = _EARLY_DEVIATIONS * math.sqrt(limit * (1 - limit) * read)
        if read < _EARLY_IMAGES or reasons.total() <= limit * read + margin:
            return None
        return self._too_many(read, reasons)

    def _too_many(self, read: int, reasons: Counter[str]) -> UserError:
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        return UserError(
            f"{self._command.src}: {reasons.total():,} of {read:,} images were rejected ({why}), "
            f"more than max_rejected_fraction {self._options.max_rejected_fraction:g}; give a "
            "larger one, or mend the source and choose another OUT"
        )

    def _failed(self, rows: list[dict[str, Any]]) -> Incomplete | None:
        errors = [row["error"] for row in rows if row["error"] not in ("", "stopped")]
        if not errors:
            return None
        return Incomplete(
            f"{errors[0]}; what is finished is kept, the same words go on",
            {"out": self._storage.uri, "seconds": self._seconds()},
        )

    def _records(self, plan: Plan) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """What came of each part, None where it is not finished, one at a time."""
        there = set(self._storage.list("parts"))
        for part in range(plan.num_parts):
            name = part_name(part)
            yield part, json.loads(self._storage.read_bytes(name)) if name in there else None

    def _sum_up(self, plan: Plan) -> dict[str, Any]:
        """Writes what was left out, then the manifest."""
        storage = self._storage
        counts: Counter[int] = Counter()
        reasons: Counter[str] = Counter(reason for _, reason in plan.rejected)
        filtered = 0
        shards = []
        with (
            storage.writing(REJECTED) as path,
            # Names of files need be no text.
            open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["name", "reason"])
            table.writerows(plan.rejected)
            for _, record in self._records(plan):
                assert record is not None
                table.writerows(record["rejected"])
                counts.update({int(label): n for label, n in record["counts"].items()})
                reasons += _reasons(record)
                filtered += sum(reason == LITTLE_COLOR for _, reason in record["rejected"])
                if record["shard"]:
                    shards.append(record["shard"])
        total, rejected = plan.num_images + len(plan.rejected), reasons.total()
        if rejected > self._options.max_rejected_fraction * total:
            raise self._too_many(total, reasons)
        if not shards:
            raise UserError(
                f"{self._command.src}: no image is left, {rejected:,} were rejected, {filtered:,} "
                f"have little colour; see {storage.shown(REJECTED)}, --keep-grey keeps the latter"
            )
        manifest = {
            "version": VERSION,
            "kind": KIND,
            "classes": [
                {"id": i, "name": name, "count": counts[i]} for i, name in enumerate(plan.classes)
            ],
            "num_images": sum(shard["rows"] for shard in shards),
            "shards": shards,
            "rejected": dict(reasons.most_common()),
            "filtered": filtered,
            "ignored": plan.ignored,
            "options": dataclasses.asdict(self._options) | {"seed": self._config["seed"]},
            "config": self._config,
            "versions": versions(),
            "hash": content_hash(plan.classes, shards),
        }
        storage.write_bytes(MANIFEST, json.dumps(manifest, indent=1).encode())
        storage.delete_tree("work")
        return manifest

    def _say(self, manifest: dict[str, Any]) -> None:
        left_out = sum(manifest["rejected"].values())
        why = ", ".join(f"{reason} {count:,}" for reason, count in manifest["rejected"].items())
        classes = _counted(len(manifest["classes"]), "class", "classes")
        print(
            f"{manifest['num_images']:,} images of {classes}; {manifest['filtered']:,} of "
            f"little colour left out, {left_out:,} rejected{f' ({why})' if why else ''}, "
            f"{manifest['ignored']:,} other files"
        )
        print(f"Data: {self._storage.shown()}", flush=True)

    def _result(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return {
            "out": self._storage.uri,
            "images": manifest["num_images"],
            "classes": len(manifest["classes"]),
            "rejected": sum(manifest["rejected"].values()),
            "filtered": manifest["filtered"],
            "ignored": manifest["ignored"],
            "shards": len(manifest["shards"]),
            "hash": manifest["hash"],
            "seconds": self._seconds(),
        }

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 1)


def _reasons(record: dict[str, Any]) -> Counter[str]:
    return Counter(reason for _, reason in record["rejected"] if reason != LITTLE_COLOR)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
