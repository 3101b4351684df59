import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.places.labels import Classes
from pipelines.places.plan import Plan, make_plan, read_list
from pipelines.places.sources import Entry, Source


class Listed(Source):
    """A source of entries that are given."""

    def __init__(self, entries: Iterator[Entry]):
        super().__init__(os.getcwd())
        self._given = entries

    def entries(self) -> Iterator[Entry]:
        return self._given


def plan_of(storage: Storage, source: Source, part_images: int = 10, seed: int = 0) -> Plan:
    return make_plan(
        storage, source, Classes(), part_images=part_images, seed=seed, config={"source": "x"}
    )


def listed(storage: Storage, plan: Plan) -> list[tuple[str, str | None]]:
    """Names and classes in the order of the parts."""
    rows = []
    for part in range(plan.num_parts):
        table = read_list(storage, part)
        assert table.num_rows == plan.part_size(part)
        for name, label in zip(table["name"].to_pylist(), table["label"].to_pylist(), strict=True):
            rows.append((os.fsdecode(name), plan.classes[label] if label >= 0 else None))
    return rows


@pytest.fixture
def tree(make_tree) -> Path:
    names = [f"{label}/{i:02d}.jpg" for label in ("zoo", "abbey", "lake") for i in range(15)]
    return make_tree(dict.fromkeys([*names, "loose.jpg"], b""))


def test_every_picture_is_in_one_part_with_its_class(tree: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")
    plan = plan_of(storage, Source(str(tree)))
    assert (plan.num_images, plan.num_parts, plan.part_size(4)) == (46, 5, 6)
    assert plan.classes == ["abbey", "lake", "zoo"]
    rows = listed(storage, plan)
    assert len(set(rows)) == 46
    for name, label in rows:
        assert label == (None if name == "loose.jpg" else name.split("/")[0])
    assert Plan.load(storage) == plan


def test_classes_are_mixed_in_every_part(tree: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")
    rows = listed(storage, plan_of(storage, Source(str(tree))))
    for start in range(0, 40, 10):
        assert max(Counter(label for _, label in rows[start : start + 10]).values()) < 8


def test_the_order_depends_on_the_seed_and_on_no_file_system(tmp_path: Path):
    entries = [Entry(f"{i}.jpg", "a") for i in range(50)]
    orders = []
    for number, (given, seed) in enumerate([(entries, 1), (entries[::-1], 1), (entries, 2)]):
        storage = Storage.at(tmp_path / str(number))
        orders.append(listed(storage, plan_of(storage, Listed(iter(given)), seed=seed)))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_two_entries_of_one_name_are_both_there(tmp_path: Path):
    storage = Storage.at(tmp_path)
    entries = [Entry("1.jpg", "a"), Entry("1.jpg", "a"), Entry("2.jpg", "b")]
    assert len(listed(storage, plan_of(storage, Listed(iter(entries))))) == 3


def test_a_source_without_pictures_is_refused(make_tree, tmp_path: Path):
    root = make_tree({"readme.txt": b"", "film.mp4": b""})
    with pytest.raises(UserError, match=rf"{root}: holds no pictures, 2 other files"):
        plan_of(Storage.at(tmp_path / "out"), Source(str(root)))
    assert not Plan.exists(Storage.at(tmp_path / "out"))


def test_a_plan_that_breaks_off_is_none(tree: Path, tmp_path: Path):
    storage = Storage.at(tmp_path / "out")

    def broken() -> Iterator[Entry]:
        yield from (Entry(f"{i}.jpg", "a") for i in range(5))
        raise UserError("the disk is gone")

    with pytest.raises(UserError, match="the disk is gone"):
        plan_of(storage, Listed(broken()))
    assert not Plan.exists(storage)


@pytest.mark.slow
def test_memory_holds_little_more_than_the_order(tmp_path: Path):
    def peak(number: int) -> int:
        entries = (Entry(f"{'x' * 60}/{i:09d}.jpg", f"c{i % 9}") for i in range(number))
        tracemalloc.start()
        plan_of(Storage.at(tmp_path / str(number)), Listed(entries), part_images=20_000)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    small, large = peak(80_000), peak(200_000)
    assert large - small < 120_000 * np.dtype(np.int64).itemsize * 2.5
