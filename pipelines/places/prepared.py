"""A prepared data set: its files, and what reads them.

manifest.json        classes, counts, shards with their checksums; written last
shards/00000.parquet rows of SCHEMA in groups
parts/00000.json     what was done of the preparation
rejected.csv         name, reason: what is not in the shards
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from arcadia.atomic import explained
from arcadia.errors import UserError, said_of
from arcadia.jsonable import parsed
from arcadia.storage import Storage
from arcadia.typed import from_json

MANIFEST = "manifest.json"
VERSION = 1
KIND = "places"
_CONTENT = {"classes": list, "shards": list, "options": dict, "num_images": int, "hash": str}

SCHEMA = pa.schema(
    [
        pa.field("image", pa.binary(), nullable=False),  # a JPEG file of size x size
        pa.field("label", pa.int32(), nullable=False),  # number of the class, -1: it has none
        pa.field("name", pa.string(), nullable=False),  # path in the source
        pa.field("width", pa.int32(), nullable=False),  # of the source, in pixels
        pa.field("height", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class ClassInfo:
    """A class."""

    id: int
    name: str
    count: int
    """Its images in the shards."""


@dataclass(frozen=True)
class RowGroup:
    """What is read at once."""

    file: str
    """Of the shard, below the data set."""
    index: int
    """In the shard."""
    rows: int


class PreparedData:
    """A finished data set. Made by `open`; can be pickled.

    Attributes:
        manifest: as it was read.
    """

    def __init__(self, uri: str, manifest: Mapping[str, Any]):
        self.uri = uri
        self.manifest = dict(manifest)

    @staticmethod
    def is_at(uri: str) -> bool:
        """Whether a finished data set is at a path or an address."""
        return Storage.at(uri).exists(MANIFEST)

    @classmethod
    def open(cls, uri: str) -> PreparedData:
        """The data set at a local folder, an s3:// or a gs:// address.

        Raises:
            UserError: nothing was prepared there, or not to its end, or by another version, or its
                shards are not those that were written.
        """
        storage = Storage.at(uri)
        where = storage.shown()
        if not storage.exists(MANIFEST):
            if storage.exists("work") or storage.exists("parts"):
                raise UserError(
                    f"{where}: its preparation is not finished; the same arcadia places prepare "
                    "goes on with it"
                )
            raise UserError(
                f"{where}: holds no prepared data; arcadia places prepare SRC {where} makes them"
            )
        manifest = parsed(storage.read_bytes(MANIFEST), storage.shown(MANIFEST))
        version = kind = None
        if isinstance(manifest, dict):
            version, kind = manifest.get("version"), manifest.get("kind")
        if kind != KIND or version != VERSION:
            raise UserError(
                f"{storage.shown(MANIFEST)}: is of kind {kind!r}, version {version!r}, where "
                f"{KIND!r}, {VERSION} is read; prepare the data again"
            )
        with said_of(storage.shown(MANIFEST)):
            _check(manifest)
        data = cls(storage.uri, manifest)
        data._check_shards(storage)
        return data

    def _check_shards(self, storage: Storage) -> None:
        sizes = storage.sizes("shards")
        shards = self.manifest["shards"]
        for shard in shards:
            there = sizes.get(shard["file"])
            if there != shard["bytes"]:
                what = "is missing" if there is None else f"has {there:,} bytes"
                raise UserError(
                    f"{storage.shown(shard['file'])}: {what} where the manifest says "
                    f"{shard['bytes']:,} bytes; copy the data again, or prepare them again"
                )
        if shards:
            self.read(self.row_groups()[0])

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """By their number; empty where nothing has a label."""
        return tuple(ClassInfo(**entry) for entry in self.manifest["classes"])

    @property
    def num_images(self) -> int:
        return self.manifest["num_images"]

    @property
    def size(self) -> int:
        """Side of every image, in pixels."""
        return self.manifest["options"]["size"]

    @property
    def hash(self) -> str:
        """Of all that is in the shards."""
        return self.manifest["hash"]

    def row_groups(self) -> list[RowGroup]:
        """All, in their order. The images of any are a random sample of the source."""
        return [
            RowGroup(shard["file"], index, rows)
            for shard in self.manifest["shards"]
            for index, rows in enumerate(shard["row_groups"])
        ]

    def read(self, row_group: RowGroup) -> pa.Table:
        """The rows of a group, of SCHEMA.

        Raises:
            UserError: the shard is damaged, or of another schema.
        """
        storage = Storage.at(self.uri)
        where = storage.shown(row_group.file)
        try:
            with explained("read", where), storage.open_file(row_group.file) as file:
                with pq.ParquetFile(file) as shard:
                    if not shard.schema_arrow.equals(SCHEMA):
                        raise UserError(
                            f"{where}: its columns are {', '.join(shard.schema_arrow.names)}, not "
                            "those of prepared data; prepare the data again"
                        )
                    table = shard.read_row_group(row_group.index)
        except (pa.ArrowException, LookupError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{where}: is damaged ({reason}); copy the data again, or prepare them again"
            ) from error
        if table.num_rows != row_group.rows:
            raise UserError(
                f"{where}: group {row_group.index} has {table.num_rows} rows, not "
                f"{row_group.rows}; prepare the data again"
            )
        return table


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """What a manifest says of a shard."""

    file: str
    bytes: int
    rows: int
    row_groups: tuple[int, ...]
    sha256: str = ""


def _check(manifest: Mapping[str, Any]) -> None:
    """Refuses a manifest that is not as preparations write it.

    Raises:
        UserError: naming what is wrong in it.
    """
    for name, kind in _CONTENT.items():
        value = manifest.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UserError(f"{name} {str(value)[:60]!r}: cannot be; prepare the data again")
    for entry in manifest["classes"]:
        from_json(ClassInfo, entry, "classes")
    for entry in manifest["shards"]:
        file = from_json(_Shard, entry, "shards").file
        if not re.fullmatch(r"shards/\d+\.parquet", file):
            raise UserError(f'shards "{file}": is no name of a shard; prepare the data again')
    size = manifest["options"].get("size")
    if not isinstance(size, int) or size < 1:
        raise UserError(f"size {str(size)[:60]!r}: cannot be; prepare the data again")


def content_hash(names: Sequence[str], shards: Sequence[Mapping[str, Any]]) -> str:
    """Of the classes' names and the shards in their order, in hex."""
    state = [json.dumps(list(names)), *(f"{s['file']} {s['sha256']}" for s in shards)]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()
