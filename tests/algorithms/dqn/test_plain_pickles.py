"""State that is data is read, and state that asks for more runs nothing of what it asks for."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from algorithms.dqn.plain_pickles import CLASSES_FILE, check_plain
from arcadia.errors import UserError


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_numbers_words_and_arrays_pass_as_any_pickler_writes_them(tmp_path: Path):
    state = {
        "rng": np.random.default_rng(1).bit_generator.state,
        "weights": OrderedDict(w=np.ones((2, 3), np.float32), turned=np.ones((2, 3)).T),
        "empty": np.zeros(0),
        "none": None,
        "number": np.float32(1.5),
        "flag": np.bool_(True),
        ("a", 1): [True, 2**70, -1.5, "x", b"y", {3}, frozenset({4}), deque([5], maxlen=3)],
    }
    for protocol in (4, 5):
        path = tmp_path / f"part-{protocol}" / "state.pkl"
        path.parent.mkdir()
        path.write_bytes(pickle.dumps(state, protocol))
    (tmp_path / "algorithm_state.pkl").write_bytes(cloudpickle.dumps(state))
    check_plain(tmp_path, "here")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_what_a_file_asks_for_is_not_run(protocol: int, tmp_path: Path):
    made = tmp_path / "made"
    path = tmp_path / "saved" / "part" / "state.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"weights": [Hostile(made)]}, protocol))
    with pytest.raises(UserError, match=r"^here: part/state\.pkl is not .*asks for posix\.mkdir"):
        check_plain(tmp_path / "saved", "here")
    assert not made.exists()
    with path.open("rb") as file:  # which does it when it is unpickled
        pickle.load(file)
    assert made.is_dir()


@pytest.mark.parametrize(
    "value",
    [
        Path("x"),  # harmless, but no state
        print,
        np.array([object()], object),
        type("Own", (), {}),
    ],
)
def test_what_is_no_plain_value_is_refused(value: Any, tmp_path: Path):
    (tmp_path / "state.pkl").write_bytes(cloudpickle.dumps(value))
    with pytest.raises(UserError, match=r"state\.pkl is not the state of a training"):
        check_plain(tmp_path, "here")


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps([1, 2])[:-1], b"\x80\x05]" * 99])
def test_damage_is_one_line(data: bytes, tmp_path: Path):
    (tmp_path / "state.pkl").write_bytes(data)
    with pytest.raises(UserError, match=r"state\.pkl is not the state") as told:
        check_plain(tmp_path, "here")
    assert "\n" not in str(told.value)


def test_classes_are_left_and_formats_that_rllib_would_read_instead_are_not(tmp_path: Path):
    (tmp_path / CLASSES_FILE).write_bytes(cloudpickle.dumps({"class": Path}))
    check_plain(tmp_path, "here")
    (tmp_path / "state.msgpack").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"state\.msgpack is of a format that Arcadia never"):
        check_plain(tmp_path, "here")
