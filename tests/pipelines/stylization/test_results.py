from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import read_image
from arcadia.storage import Storage
from pipelines.stylization.parts import parts_of
from pipelines.stylization.results import FrameFiles, Manifest, count_start

(PART,) = parts_of("clip", [(3, 6)])


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path / "run")


def test_a_frame_is_a_png_of_what_was_written(storage: Storage):
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    files = FrameFiles(storage, "videos/clip/frames")
    files.write(12, frame)
    np.testing.assert_array_equal(FrameFiles(storage, "videos/clip/frames").read(12), frame)
    np.testing.assert_array_equal(read_image(storage.local_path / files.name(12)), frame)
    assert storage.list() == ["videos/clip/frames/00000012.png"]


def test_frames_that_are_missing_or_damaged_are_named(storage: Storage):
    files = FrameFiles(storage, "frames")
    with pytest.raises(UserError, match=r"00000001\.png: cannot read: No such file"):
        files.read(1)
    storage.write_bytes(files.name(1), b"\x89PNG")
    with pytest.raises(UserError, match=r"00000001\.png: is no whole picture"):
        files.read(1)
    storage.write_bytes(files.name(1), b"")
    with pytest.raises(UserError, match=r"00000001\.png: is no whole picture"):
        files.read(1)


def test_few_frames_are_held(storage: Storage):
    files = FrameFiles(storage, "frames")
    for number in range(20):
        files.write(number, np.full((4, 4, 3), number, np.uint8))
    for number in range(12):
        storage.write_bytes(files.name(number), b"")
    with pytest.raises(UserError):
        files.read(11)
    assert files.read(12)[0, 0, 0] == 12


def record(frame: int) -> dict:
    return {"frame": frame, "seconds": 0.5, "iterations": 2, "losses": {"total": 1.0}}


def test_a_manifest_says_what_is_done_to_who_comes_next(storage: Storage):
    manifest = Manifest(storage, PART)
    assert storage.list() == []  # looking leaves nothing
    manifest.add(record(3))
    manifest.add(record(4))
    assert [r["frame"] for r in Manifest(storage, PART).frames] == [3, 4]
    manifest.add(record(5))
    manifest.end_pass({"pass": 1}, is_last=False)
    again = Manifest(storage, PART)
    assert (again.passes, again.frames, again.is_complete) == ([{"pass": 1}], [], False)
    again.add(record(5))
    again.end_pass({"pass": 2}, is_last=True)
    done = Manifest(storage, PART)
    assert done.is_complete and len(done.passes) == 2 and len(done.frames) == 1


def test_a_manifest_of_other_frames_is_refused(storage: Storage):
    Manifest(storage, PART).add(record(3))
    (other,) = parts_of("clip", [(3, 9)])
    with pytest.raises(UserError, match=r"belongs to frames 3 to 6, not 3 to 9.*--run-dir"):
        Manifest(storage, other)


def test_a_part_whose_painters_die_one_after_another_is_given_up(tmp_path):
    storage = Storage.at(tmp_path)
    (part,) = parts_of("clip", [(0, 9)])
    for _ in range(3):
        count_start(storage, part, call="a", done=4)
    with pytest.raises(UserError, match="part 0: 3 painters in a row died at frame 4 of it"):
        count_start(storage, part, call="a", done=4)
    count_start(storage, part, call="a", done=5)  # it got on
    for call in ("b", "b", "b", "c"):  # another use of painters counts anew
        count_start(storage, part, call=call, done=5)
