"""Replays and other states as files: round trips, and every kind of damage."""

import errno
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from algorithms.replay import FrameCodec, shard_files
from algorithms.replay.shard_files import INDEX_NAME, read_state, write_state
from arcadia.errors import UserError
from tests.algorithms.replay.tables import make, rows, table
from tests.algorithms.replay.test_prioritized import assert_same
from tests.algorithms.replay.test_prioritized import make as make_prioritized

STATE: dict[str, Any] = {
    "name": "réplica",
    "none": None,
    "yes": True,
    "large": 2**127 + 1,
    "third": 1 / 3,
    "nested": {"list": [1, [2.5, "x"], {"deep": np.arange(5, dtype=np.int16)}], "empty": {}},
    "matrix": np.arange(12.0).reshape(3, 4),
    "big_endian": np.array([1, 2, 3], dtype=">u4"),
    "flags": np.array([True, False]),
    "scalar": np.array(7, dtype=np.uint8),
    "nothing": np.empty((0, 3), dtype=np.float32),
}


def assert_equal(mine: Any, theirs: Any) -> None:
    assert type(mine) is type(theirs)
    if isinstance(mine, dict):
        assert list(mine) == list(theirs)
        for key in mine:
            assert_equal(mine[key], theirs[key])
    elif isinstance(mine, list):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert_equal(one, other)
    elif isinstance(mine, np.ndarray):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        np.testing.assert_array_equal(mine, theirs)
    else:
        assert mine == theirs


@pytest.fixture
def small_files(monkeypatch):
    """Files so short that arrays are cut and several files are needed."""
    monkeypatch.setattr(shard_files, "FILE_BYTES", 100)
    monkeypatch.setattr(shard_files, "_PIECE_BYTES", 64)


def test_state_comes_back(tmp_path):
    write_state(STATE, tmp_path / "new" / "folder")
    assert_equal(read_state(tmp_path / "new" / "folder"), STATE)


def test_files_are_no_longer_than_they_may_be(tmp_path, small_files):
    write_state(STATE, tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("*.bin")}
    assert sizes == {"arrays-00000.bin": 100, "arrays-00001.bin": 21}
    assert_equal(read_state(tmp_path), STATE)


def test_numbers_of_numpy_and_tuples_become_plain(tmp_path):
    write_state(
        {"a": np.float32(0.5), "b": np.int64(3), "c": (1, 2), "d": np.bool_(True)}, tmp_path
    )
    assert_equal(read_state(tmp_path), {"a": 0.5, "b": 3, "c": [1, 2], "d": True})


def test_arrays_that_are_not_contiguous(tmp_path):
    array = np.arange(12).reshape(3, 4)
    write_state({"turned": array.T, "sliced": array[:, ::2]}, tmp_path)
    assert_equal(read_state(tmp_path), {"turned": array.T, "sliced": array[:, ::2]})


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    arrays=st.lists(
        hnp.arrays(
            st.sampled_from([np.uint8, np.int64, np.float16, np.bool_]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        ),
        max_size=6,
    ),
    file_bytes=st.integers(1, 60),
    piece_bytes=st.integers(1, 60),
)
def test_arrays_are_cut_anywhere(tmp_path_factory, arrays, file_bytes, piece_bytes):
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_files, "FILE_BYTES", file_bytes)
        patch.setattr(shard_files, "_PIECE_BYTES", piece_bytes)
        write_state({"arrays": arrays}, folder)
        assert_equal(read_state(folder), {"arrays": arrays})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": [object()]}}, r"state\.a\.b\[0\] is object"),
        ({"a": np.array([None])}, r"state\.a is object"),
        ({"a": np.array(["text"])}, r"state\.a is <U4"),
        ({"a": {1: 2}}, r"state\.a has the key 1"),
        ({"a": {"__array__": 2}}, "has the key '__array__'"),
        ({"a": b"bytes"}, r"state\.a is bytes"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path, state, message):
    with pytest.raises(TypeError, match=message):
        write_state(state, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_saved_state_is_not_overwritten(tmp_path):
    write_state({"a": 1}, tmp_path)
    with pytest.raises(UserError, match="a state is saved here already; give an empty folder"):
        write_state({"a": 2}, tmp_path)
    assert read_state(tmp_path) == {"a": 1}


def test_index_is_written_last(tmp_path, monkeypatch):
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(shard_files, "flush", full)
        write_state(STATE, tmp_path)
    with pytest.raises(UserError, match=r"index\.json: no saved state there, or its saving was"):
        read_state(tmp_path)
    write_state(STATE, tmp_path)  # over what is left
    assert_equal(read_state(tmp_path), STATE)


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def renumber(path: Path) -> None:
    path.write_text(path.read_text().replace("0.333", "0.433"))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("arrays-00001.bin", Path.unlink, "this part of the saved state is missing; copy"),
        ("arrays-00001.bin", cut, r"damaged \(20 bytes instead of 21\); copy"),
        ("arrays-00000.bin", lengthen, r"damaged \(101 bytes instead of 100\); copy"),
        ("arrays-00000.bin", lambda path: flip(path, 99), r"damaged \(its checksum differs\)"),
        ("arrays-00001.bin", lambda path: flip(path, 0), r"damaged \(its checksum differs\)"),
        (INDEX_NAME, Path.unlink, "no saved state there, or its saving was interrupted; use"),
        (INDEX_NAME, cut, r"damaged \(not JSON\); copy"),
        (INDEX_NAME, lambda path: path.write_bytes(b"\xff\xfe"), r"damaged \(not JSON\)"),
        (INDEX_NAME, renumber, r"damaged \(its checksum differs\); copy"),
        (INDEX_NAME, lambda path: path.write_text("[1]"), "not the index of a saved state; give"),
        (INDEX_NAME, lambda path: change(path, format="x"), "not the index of a saved state"),
        (INDEX_NAME, lambda path: change(path, version=2), "version 2 of the format, this program"),
    ],
)
def test_damage_is_named(tmp_path, small_files, name, damage, message):
    write_state(STATE, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=f"{tmp_path / name}: {message}") as error:
        read_state(tmp_path)
    assert "\n" not in str(error.value)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere/index\.json: no saved state there"):
        read_state(tmp_path / "nowhere")


@pytest.mark.parametrize("factory", [make, make_prioritized])
def test_saved_replay_goes_on_identically(tmp_path, small_files, factory):
    options: dict[str, Any] = {"capacity": 12, "n_step": 2, "max_bytes": 8_000}
    replay = factory(**options)
    replay.add(table("F . . . T E F . . . . . . .", frames=range(1, 15)))
    ids = replay.valid_ids()
    if factory is make_prioritized:
        replay.update_priorities(ids, 1 / (1.0 + ids))
    replay.save(tmp_path)
    restored = factory(**options, rng=np.random.default_rng(99))
    restored.restore(tmp_path)
    for number in range(14, 40):
        for each in (replay, restored):
            each.add(table(".", frames=[number], sequence=number))
        assert_same(replay.sample(8), restored.sample(8))


def test_empty_replay_can_be_saved(tmp_path):
    make_prioritized().save(tmp_path)
    restored = make_prioritized()
    restored.restore(tmp_path)
    restored.add(table("F .", frames=[1, 2]))
    assert list(rows(restored)) == [0]


def test_uniform_and_prioritized_replays_take_up_each_others_files(tmp_path):
    for source, target in [(make(), make_prioritized()), (make_prioritized(), make())]:
        source.add(table("F . T E", frames=[1, 2, 3, 4]))
        source.save(tmp_path / type(source).__name__)
        target.restore(tmp_path / type(source).__name__)
        assert rows(target) == rows(source)


def test_replay_of_another_layout_and_other_states_are_refused(tmp_path):
    make().save(tmp_path / "replay")
    write_state({"other": 1}, tmp_path / "other")
    with pytest.raises(UserError, match="replay: stack of the saved replay is 2, this one's 3"):
        make(stack=3).restore(tmp_path / "replay")
    with pytest.raises(UserError, match="other: holds a state, but not a replay's"):
        make().restore(tmp_path / "other")


def test_saving_copies_no_frames_and_restoring_copies_them_once(tmp_path):
    codec = FrameCodec((84, 84), compression="none")
    options: dict[str, Any] = {
        "capacity": 4000,
        "frame_shape": (84, 84),
        "compression": "none",
        "stack": 4,
    }
    replay, restored = make(**options), make(**options)
    for number in range(0, 4000, 500):
        flags = " ".join(["F" if number == 0 else "."] + ["."] * 499)
        frames = np.full((500, 84, 84), number // 20, dtype=np.uint8)
        replay.add(table(flags, frames=frames, sequence=number, codec=codec))
    frame_bytes = 4000 * 84 * 84
    tracemalloc.start()
    try:
        replay.save(tmp_path)
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        restored.restore(tmp_path)
        restoring = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert saving < 0.1 * frame_bytes
    assert restoring < 2.2 * frame_bytes  # what was read and what was made of it
    assert_same(replay.sample(8), restored.sample(8))


def test_state_without_copies_is_the_same_as_with():
    replay = make_prioritized()
    replay.add(table("F . T E", frames=[1, 2, 3, 4]))
    assert_equal(replay.get_state(copy=False), replay.get_state())
