"""A part: its pictures read, prepared and written as one shard, and the record of it.

shards/00000.parquet  written beside and renamed; missing where no picture was kept
parts/00000.json      what came of the part; written after the shard, it counts
work/starts/00000.json  how often it was begun
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.places.config import PrepareOptions
from pipelines.places.images import LITTLE_COLOR, Prepared, Rejected, prepare_image
from pipelines.places.labels import UNLABELLED
from pipelines.places.plan import Plan, read_list
from pipelines.places.prepared import SCHEMA
from pipelines.places.sources import read_entry

KILLED = "ended the process that read it"

_MOST_STARTS = 8

Prepare = Callable[[bytes, PrepareOptions], Prepared | Rejected]


class Part:
    """A part being prepared.

    Args:
        storage: of the data set.
        plan: that it is of.
        number: its number.
        options: how.
        call: tells this job from others.
        on_image: is called with how many pictures were read, and rejected under each reason, after
            each; what it raises ends the work, and nothing of the part is kept.
        prepare: makes a picture from a file's bytes.
    """

    def __init__(
        self,
        storage: Storage,
        plan: Plan,
        number: int,
        options: PrepareOptions,
        *,
        call: str,
        on_image: Callable[[int, Counter[str]], None] = lambda read, rejected: None,
        prepare: Prepare = prepare_image,
    ):
        self._storage = storage
        self._plan = plan
        self._number = number
        self._options = options
        self._on_image = on_image
        self._prepare_image = prepare
        self._starts = _Starts(storage, number, call)
        self._rejected: list[tuple[str, str]] = []
        self._reasons: Counter[str] = Counter()
        self._counts: Counter[int] = Counter()

    def carry_out(self) -> None:
        """Writes the shard and the record.

        Raises:
            UserError: the data set cannot be written, or one process after another died at it.
        """
        rows = self._rows()
        file = f"shards/{self._number:05d}.parquet"
        shard: dict[str, Any] = {}
        first = next(rows, None)
        if first is not None:
            with self._storage.writing(file) as path:
                groups = self._write(path, first, rows)
                shard = {
                    "file": file,
                    "rows": sum(groups),
                    "row_groups": groups,
                    "bytes": path.stat().st_size,
                    "sha256": _sha256(path),
                }
        record = {
            "images": self._plan.part_size(self._number),
            "shard": shard,
            "counts": {str(label): count for label, count in sorted(self._counts.items())},
            "rejected": self._rejected,
        }
        self._storage.write_bytes(part_name(self._number), json.dumps(record).encode())

    def _write(
        self, path: Path, first: tuple[Any, ...], rows: Iterator[tuple[Any, ...]]
    ) -> list[int]:
        """Row group after row group, so that no more than one is in memory."""
        group, groups = [first], []
        # A JPEG packs no further, and hardly any value is there twice.
        plain: dict[str, Any] = dict(
            compression="none", use_dictionary=False, write_statistics=False
        )
        with pq.ParquetWriter(path, SCHEMA, **plain) as writer:
            for row in rows:
                if len(group) == self._options.row_group_images:
                    writer.write_table(_table(group))
                    groups.append(len(group))
                    group = []
                group.append(row)
            writer.write_table(_table(group))
        return [*groups, len(group)]

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        entries = read_list(self._storage, self._number)
        columns = (entries[name].to_pylist() for name in entries.column_names)
        for index, (raw, label, tar, offset, size) in enumerate(zip(*columns, strict=True)):
            name = raw.decode("utf-8", "backslashreplace")
            if self._starts.is_deadly(index):
                result = Rejected(KILLED)
            else:
                result = self._prepared(os.fsdecode(raw), tar, offset, size)
            if isinstance(result, Rejected):
                self._rejected.append((name, result.reason))
                if result.reason != LITTLE_COLOR:
                    self._reasons[result.reason] += 1
            else:
                if label != UNLABELLED:
                    self._counts[label] += 1
                yield result.jpeg, label, name, result.width, result.height
            self._on_image(index + 1, self._reasons)

    def _prepared(self, name: str, tar: int, offset: int, size: int) -> Prepared | Rejected:
        archive = self._plan.tars[tar] if tar >= 0 else None
        root = self._plan.config["source"]
        data = read_entry(root, archive, name, offset, size, self._options.max_bytes)
        return data if isinstance(data, Rejected) else self._prepare_image(data, self._options)


class _Starts:
    """Finds pictures that kill the process that reads them, which Ray would begin again for ever.

    From the third start in one call on, it is written which picture comes next; a start that finds
    such a mark leaves that picture out.
    """

    def __init__(self, storage: Storage, number: int, call: str):
        self._storage = storage
        self._name = f"work/starts/{number:05d}.json"
        before: dict[str, Any] = {}
        if storage.exists(self._name):
            before = json.loads(storage.read_bytes(self._name))
        self._deadly: list[int] = before.get("deadly", [])
        self._call = call
        self._starts = 1
        if before.get("call") == call:
            self._starts += before["starts"]
            if before["at"] is not None:
                self._deadly.append(before["at"])
        if self._starts > _MOST_STARTS:
            raise UserError(
                f"part {number}: {self._starts - 1} processes in a row died at it; Ray's logs say "
                "why; if memory ran out, give a smaller --max-pixels"
            )
        self._write(None)

    def is_deadly(self, index: int) -> bool:
        """Whether a picture, which is the next one, is one of those that kill."""
        if self._starts > 2:
            self._write(index)
        return index in self._deadly

    def _write(self, index: int | None) -> None:
        state = {"call": self._call, "starts": self._starts, "at": index, "deadly": self._deadly}
        self._storage.write_bytes(self._name, json.dumps(state).encode())


def part_name(number: int) -> str:
    """Of the record, below the data set."""
    return f"parts/{number:05d}.json"


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(c), field.type) for c, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
