"""What will be prepared, fixed before the first picture is read: parts of a seeded order.

    work/plan.json          classes, number of images and parts; written last
    work/lists/00000.arrow  the pictures of a part

While the source is read its listing goes to an Arrow file on this machine, which is mapped
afterwards; in memory there are eight bytes a picture, the order. Names are sorted before they are
mixed: a file system lists them as it likes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from arcadia.atomic import explained
from arcadia.errors import UserError
from arcadia.jsonable import parsed
from arcadia.storage import Storage
from pipelines.places.labels import Classes
from pipelines.places.sources import Entry, Source

PLAN = "work/plan.json"

_BATCH = 16_384
_LISTED = pa.schema(
    [
        pa.field("name", pa.binary()),  # as the file system has it, not always UTF-8
        pa.field("label", pa.int32()),
        pa.field("tar", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
    ]
)


_KINDS = {
    "config": dict,
    "classes": list,
    "num_images": int,
    "part_images": int,
    "tars": list,
    "rejected": list,
    "ignored": int,
}


class Plan(NamedTuple):
    """What is to be done."""

    config: dict[str, Any]
    """The words that it was made for."""
    classes: list[str]
    """Names by number."""
    num_images: int
    part_images: int
    tars: list[str]
    """Archives of the source, by number."""
    rejected: list[list[str]]
    """Names and reasons of what could not even be listed."""
    ignored: int
    """Files that were not taken for pictures."""

    @property
    def num_parts(self) -> int:
        return -(-self.num_images // self.part_images)

    def part_size(self, part: int) -> int:
        """Its images in the source."""
        return min(self.part_images, self.num_images - part * self.part_images)

    @staticmethod
    def exists(storage: Storage) -> bool:
        return storage.exists(PLAN)

    @classmethod
    def load(cls, storage: Storage) -> Plan:
        """What `make_plan` wrote. UserError for anything else."""
        where = storage.shown(PLAN)
        values = parsed(storage.read_bytes(PLAN), where)
        if not isinstance(values, dict) or values.keys() != _KINDS.keys():
            raise UserError(f"{where}: is no plan of a preparation; choose another OUT")
        for name, kind in _KINDS.items():
            if type(values[name]) is not kind or (kind is int and values[name] < 0):
                raise UserError(
                    f"{where}: {name} is {str(values[name])[:60]!r}, which no plan has; choose "
                    "another OUT"
                )
        return cls(**values)


def make_plan(
    storage: Storage,
    source: Source,
    classes: Classes,
    *,
    part_images: int,
    seed: int,
    config: dict[str, Any],
    on_batch: Callable[[int], None] = lambda listed: None,
) -> Plan:
    """Lists a source and writes the plan.

    Args:
        storage: of the data set.
        source: is read to its end.
        classes: collects the labels.
        part_images: of a part, at most.
        seed: of the order.
        config: what is told of the plan later.
        on_batch: is called with how many are listed, now and then; what it raises ends the work.

    Raises:
        UserError: there is nothing in the source, or its labels make no sense.
    """
    with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
        listing = Path(folder, "listing.arrow")
        with explained("write", listing):
            num_images = _write_listing(listing, source, classes, on_batch)
        if not num_images:
            raise source.nothing()
        names, final = classes.finish()
        plan = Plan(
            config=config,
            classes=names,
            num_images=num_images,
            part_images=part_images,
            tars=source.tars,
            rejected=[list(pair) for pair in source.rejected],
            ignored=source.ignored,
        )
        with pa.memory_map(str(listing)) as file:
            table = pa.ipc.open_file(file).read_all()
            order = np.array(pc.call_function("sort_indices", [table["name"]]))
            np.random.default_rng(seed).shuffle(order)
            for part in range(plan.num_parts):
                chosen = order[part * part_images :][:part_images]
                _write_list(storage, part, _taken(table, chosen), final)
                on_batch(num_images)
    storage.write_bytes(PLAN, json.dumps(plan._asdict()).encode())
    return plan


def read_list(storage: Storage, part: int) -> pa.Table:
    """The pictures of a part: name (binary), label, tar, offset, size."""
    with pa.ipc.open_file(pa.BufferReader(storage.read_bytes(_list_name(part)))) as reader:
        return reader.read_all()


def _write_listing(
    path: Path, source: Source, classes: Classes, on_batch: Callable[[int], None]
) -> int:
    total = 0
    entries = source.entries()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _LISTED) as writer:
        while batch := list(islice(entries, _BATCH)):
            writer.write_batch(_batch(batch, classes))
            total += len(batch)
            on_batch(total)
    return total


def _batch(entries: list[Entry], classes: Classes) -> pa.RecordBatch:
    columns = [
        [os.fsencode(entry.name) for entry in entries],
        [classes.index(entry.label) for entry in entries],
        [entry.tar for entry in entries],
        [entry.offset for entry in entries],
        [entry.size for entry in entries],
    ]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, _LISTED, strict=True)]
    return pa.record_batch(arrays, schema=_LISTED)


def _taken(table: pa.Table, indices: np.ndarray) -> pa.Table:
    """Rows of a table of many chunks, chunk by chunk: Arrow's own `take` joins them first."""
    ascending = np.argsort(indices)
    chosen = indices[ascending]
    pieces: list[pa.RecordBatch] = []
    for first, batch in _batches(table):
        start, stop = np.searchsorted(chosen, [first, first + batch.num_rows])
        pieces.append(batch.take(pa.array(chosen[start:stop] - first)))
    place = np.empty_like(ascending)
    place[ascending] = np.arange(len(ascending))
    return pa.Table.from_batches(pieces).combine_chunks().take(pa.array(place))


def _batches(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for batch in table.to_batches():
        yield first, batch
        first += batch.num_rows


def _write_list(storage: Storage, part: int, table: pa.Table, final: np.ndarray) -> None:
    labels = table["label"].to_numpy()
    if len(final):
        labels = np.where(labels < 0, labels, final[labels])
    table = table.set_column(1, _LISTED.field("label"), pa.array(labels, pa.int32()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _LISTED) as writer:
        writer.write_table(table)
    storage.write_bytes(_list_name(part), sink.getvalue().to_pybytes())


def _list_name(part: int) -> str:
    return f"work/lists/{part:05d}.arrow"


def check_same(storage: Storage, was: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to go on with what was begun with other words.

    Raises:
        UserError: naming the words that differ.
    """
    differing = [name for name in now if name != "options" and now[name] != was.get(name)]
    old, new = was.get("options", {}), now["options"]
    differing += [name for name in new if new[name] != old.get(name)]
    if differing:
        raise UserError(
            f"{storage.shown()}: was prepared with other words ({', '.join(differing)}); choose "
            "another OUT"
        )
