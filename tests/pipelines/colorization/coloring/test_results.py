from pathlib import Path

import pytest

from arcadia.errors import UserError
from arcadia.storage import Stamp, Storage
from pipelines.colorization.coloring.plan import Item, Part
from pipelines.colorization.coloring.results import Manifest, Record

ITEMS = tuple(
    Item(number=n, source=f"/in/{n}.png", output=f"{n}.png", is_film=False) for n in (4, 5)
)
PART = Part(number=2, items=ITEMS)


def test_what_was_written_is_known_to_others(tmp_path: Path):
    storage = Storage.at(tmp_path)
    manifest = Manifest(storage, PART)
    assert not manifest.is_begun
    manifest.begin("call")
    record = Record(item=4, stamp=Stamp(3, 99), frames=7, problem="ends after 7 of 9 frames")
    manifest.add(record)
    manifest.write()
    other = Manifest(storage, PART)
    assert other.is_begun and other.records == {4: record}


def test_a_result_counts_as_long_as_it_is_as_it_was_written(tmp_path: Path):
    manifest, outputs = Manifest(Storage.at(tmp_path / "run"), PART), Storage.at(tmp_path / "out")
    assert not manifest.is_done(ITEMS[0], outputs)
    outputs.write_bytes("4.png", b"one")
    assert not manifest.is_done(ITEMS[0], outputs)  # another's
    stamp = outputs.stamp("4.png")
    assert stamp is not None
    manifest.add(Record(item=4, stamp=stamp))
    assert manifest.is_done(ITEMS[0], outputs)
    outputs.write_bytes("4.png", b"another")
    assert not manifest.is_done(ITEMS[0], outputs)


def test_a_part_at_which_workers_die_is_given_up(tmp_path: Path):
    storage = Storage.at(tmp_path)
    for _ in range(3):
        Manifest(storage, PART).begin("call")
    with pytest.raises(UserError, match=r"/in/4\.png: 3 workers in a row died"):
        Manifest(storage, PART).begin("call")
    Manifest(storage, PART).begin("another call")  # which counts anew
    manifest = Manifest(storage, PART)
    manifest.add(Record(item=4, stamp=Stamp(1, 1)))
    manifest.write()
    for _ in range(3):
        Manifest(storage, PART).begin("another call")  # something was finished in between
    with pytest.raises(UserError, match=r"/in/5\.png: 3 workers"):
        Manifest(storage, PART).begin("another call")
