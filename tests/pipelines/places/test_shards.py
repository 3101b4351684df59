"""One part at a time, without Ray."""

import io
import json
import os
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.places.config import PrepareOptions
from pipelines.places.images import Prepared, Rejected, prepare_image
from pipelines.places.labels import Classes
from pipelines.places.plan import make_plan
from pipelines.places.prepared import SCHEMA
from pipelines.places.shards import Part
from pipelines.places.sources import Source
from tests.pipelines.pictures import colorful, decoded, encoded

OPTIONS = PrepareOptions(size=32, row_group_images=4)


@pytest.fixture
def root(make_tree) -> Path:
    files = {f"{'ab'[i % 2]}{i % 2}/{i}.jpg": encoded(colorful(seed=i)) for i in range(10)}
    return make_tree(files | {"a0/bad.jpg": b"bad", "a0/grey.jpg": encoded(colorful() // 99 + 90)})


def part_of(storage: Storage, root: Path, **arguments) -> Part:
    config = {"source": str(root)}
    plan = make_plan(storage, Source(str(root)), Classes(), part_images=99, seed=0, config=config)
    return Part(storage, plan, 0, OPTIONS, **({"call": "one"} | arguments))


def record_of(storage: Storage) -> dict:
    return json.loads(storage.read_bytes("parts/00000.json"))


def test_a_part_becomes_a_shard_and_a_record(root: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")
    seen = []
    part_of(storage, root, on_image=lambda n, reasons: seen.append((n, dict(reasons)))).carry_out()
    record = record_of(storage)
    assert record["images"] == 12 and record["counts"] == {"0": 5, "1": 5}
    assert sorted(record["rejected"]) == [
        ["a0/bad.jpg", "not a picture"],
        ["a0/grey.jpg", "little colour"],
    ]
    assert [n for n, _ in seen] == list(range(1, 13)) and seen[-1][1] == {"not a picture": 1}
    shard = record["shard"]
    assert (shard["rows"], shard["row_groups"]) == (10, [4, 4, 2])
    data = storage.read_bytes(shard["file"])
    assert len(data) == shard["bytes"]
    table = pq.read_table(io.BytesIO(data))
    assert table.schema.equals(SCHEMA)
    for row in table.to_pylist():
        assert (row["width"], row["height"]) == (64, 48)
        assert row["label"] == int(row["name"][1])
        expected = prepare_image((root / row["name"]).read_bytes(), OPTIONS)
        assert isinstance(expected, Prepared) and row["image"] == expected.jpeg
        assert decoded(row["image"]).shape == (32, 32, 3)


def test_the_same_part_has_the_same_bytes(root: Path, tmp_path: Path):
    shards = []
    for name in ("one", "two"):
        storage = Storage.at(tmp_path / name)
        part_of(storage, root, call=name).carry_out()
        shards.append(storage.read_bytes("shards/00000.parquet"))
    assert shards[0] == shards[1]


def test_a_part_of_which_nothing_is_left_has_no_shard(make_tree, tmp_path: Path):
    root = make_tree({"1.jpg": b"", "2.jpg": b"x"})
    storage = Storage.at(tmp_path / "out")
    part_of(storage, root).carry_out()
    record = record_of(storage)
    assert record["shard"] == {} and record["counts"] == {}
    assert storage.list("shards") == []


def test_a_part_that_is_stopped_leaves_nothing(root: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")

    def stop(read: int, reasons: Counter[str]) -> None:
        if read == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part_of(storage, root, on_image=stop).carry_out()
    assert not storage.exists("parts")
    assert os.listdir(tmp_path / "out" / "shards") == []


def test_pictures_that_vanish_are_named(root: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")
    part = part_of(storage, root)
    (root / "a0" / "0.jpg").unlink()
    part.carry_out()
    assert ["a0/0.jpg", "missing"] in record_of(storage)["rejected"]


def killing(data: bytes, options: PrepareOptions) -> Prepared | Rejected:
    """Dies of a file as a decoder with a fault would."""
    if data == b"bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare_image(data, options)


def forked(part_of_call) -> int:
    """The exit code of a child that does it, minus the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            part_of_call().carry_out()
        except UserError:
            os._exit(7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_picture_that_kills_is_found_and_left_out(root: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")
    codes = [forked(lambda: part_of(storage, root, prepare=killing)) for _ in range(4)]
    assert codes == [-signal.SIGKILL] * 3 + [0]
    record = record_of(storage)
    assert ["a0/bad.jpg", "ended the process that read it"] in record["rejected"]
    assert record["shard"]["rows"] == 10
    # It is remembered when another call begins the part again.
    part_of(storage, root, prepare=killing, call="two").carry_out()


def test_a_part_at_which_all_die_is_given_up(root: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")

    def die(read: int, reasons: Counter[str]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    codes = [forked(lambda: part_of(storage, root, on_image=die)) for _ in range(9)]
    assert codes == [-signal.SIGKILL] * 8 + [7]
    with pytest.raises(UserError, match="part 0: 8 processes in a row died at it"):
        part_of(storage, root)


def test_an_object_store_gets_the_same_bytes(root: Path, tmp_path: Path):
    bucket = Storage.at("bucket/data", PyFileSystem(FSSpecHandler(MemoryFileSystem())))
    disk = Storage.at(tmp_path / "out")
    for storage in (bucket, disk):
        part_of(storage, root).carry_out()
    assert bucket.list() == disk.list()
    for name in ("shards/00000.parquet", "parts/00000.json", "work/lists/00000.arrow"):
        assert bucket.read_bytes(name) == disk.read_bytes(name)
    with bucket.open_file("shards/00000.parquet") as file, pq.ParquetFile(file) as shard:
        assert shard.read_row_group(2).num_rows == 2
