import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.places import ClassInfo, PreparedData, RowGroup
from pipelines.places.prepared import KIND, SCHEMA, VERSION, content_hash


def table(first: int, rows: int) -> pa.Table:
    columns = [
        [b"x"] * rows,
        list(range(first, first + rows)),
        ["n"] * rows,
        [9] * rows,
        [8] * rows,
    ]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def write_shard(storage: Storage, number: int, content: pa.Table, group: int) -> dict:
    file = f"shards/{number:05d}.parquet"
    with storage.writing(file) as path:
        pq.write_table(content, path, row_group_size=group)
        size = path.stat().st_size
    groups = [min(group, content.num_rows - i) for i in range(0, content.num_rows, group)]
    return {"file": file, "bytes": size, "row_groups": groups, "rows": content.num_rows}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two shards, of two groups and of one."""
    storage = Storage.at(tmp_path / "data")
    shards = [write_shard(storage, 0, table(0, 5), 3), write_shard(storage, 2, table(5, 2), 3)]
    manifest = {
        "version": VERSION,
        "kind": KIND,
        "classes": [{"id": 0, "name": "abbey", "count": 7}],
        "num_images": 7,
        "shards": shards,
        "options": {"size": 32},
        "hash": "abc",
    }
    storage.write_bytes("manifest.json", json.dumps(manifest).encode())
    return tmp_path / "data"


def edit(place: Path, **changes) -> None:
    path = place / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_row_groups_are_read_in_any_order(place: Path):
    data = pickle.loads(pickle.dumps(PreparedData.open(str(place))))
    assert data.classes == (ClassInfo(0, "abbey", 7),)
    assert (data.num_images, data.size, data.hash) == (7, 32, "abc")
    groups = data.row_groups()
    assert groups == [
        RowGroup("shards/00000.parquet", 0, 3),
        RowGroup("shards/00000.parquet", 1, 2),
        RowGroup("shards/00002.parquet", 0, 2),
    ]
    labels = [data.read(group)["label"].to_pylist() for group in reversed(groups)]
    assert labels == [[5, 6], [3, 4], [0, 1, 2]]


def test_what_is_not_there_or_not_finished_says_what_to_do(place: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"none: holds no prepared data; arcadia places prepare"):
        PreparedData.open(str(tmp_path / "none"))
    (place / "manifest.json").unlink()
    (place / "parts").mkdir()
    with pytest.raises(UserError, match="is not finished; the same arcadia places prepare goes on"):
        PreparedData.open(str(place))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"version": 2, "kind": "places"}', "is of kind 'places', version 2"),
        ('{"files": []}', "is of kind None"),
        ("[]", "is of kind None"),
        ("broken", r"manifest\.json: is not JSON"),
    ],
)
def test_another_manifest_is_refused(place: Path, text: str, complaint: str):
    (place / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        PreparedData.open(str(place))


def test_missing_and_shortened_shards_are_found(place: Path):
    path = place / "shards" / "00002.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"00002\.parquet: has .* bytes where the manifest says"):
        PreparedData.open(str(place))
    path.unlink()
    with pytest.raises(UserError, match=r"00002\.parquet: is missing where the manifest says"):
        PreparedData.open(str(place))


def test_shards_of_another_schema_are_refused(place: Path):
    other = pa.table({"image": [b"x"], "text": ["y"]})
    edit(place, shards=[write_shard(Storage.at(place), 0, other, 3)])
    with pytest.raises(UserError, match="its columns are image, text, not those of prepared data"):
        PreparedData.open(str(place))


def test_a_damaged_shard_is_named(place: Path):
    path = place / "shards" / "00000.parquet"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(UserError, match=r"00000\.parquet: is damaged"):
        PreparedData.open(str(place))


def test_the_hash_is_of_classes_and_shards_in_their_order():
    one, two = {"file": "1", "sha256": "a"}, {"file": "2", "sha256": "b"}
    hashes = {
        content_hash(["x"], [one, two]),
        content_hash(["y"], [one, two]),
        content_hash(["x"], [two, one]),
        content_hash(["x"], [one]),
        content_hash(["x"], [one, two | {"sha256": "c"}]),
    }
    assert len(hashes) == 5
    assert content_hash(["x"], [one, two]) in hashes
