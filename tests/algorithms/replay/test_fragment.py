"""A fragment is refused where it contradicts itself."""

import dataclasses

import numpy as np
import pytest

from algorithms.replay import Fragment, RecordFlag
from tests.algorithms.replay.tables import table


def test_fragment_knows_its_length_and_bytes():
    fragment = table("F . T E", frames=[1, 2, 3, 4])
    assert len(fragment) == 4
    assert fragment.nbytes == 4 * (8 + 8 + 4 + 4 + 4 + 1 + 1 + 4) + len(fragment.frames)


def test_empty_fragment_is_a_fragment():
    assert len(table("", frames=[])) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stream": np.zeros(2, np.int32)}, "stream must be a vector of int64, got int32"),
        ({"reward": np.zeros((2, 1), np.float32)}, r"got float32 of shape \(2, 1\)"),
        ({"action": [1, 2]}, "action must be a vector of int32, got list"),
        ({"flags": np.zeros(3, np.uint8)}, "flags has 3 records, stream 2"),
        ({"goal": np.zeros(2, np.int64)}, "goal must be a vector of uint8, got int64"),
        ({"duration": np.array([1, 0], np.int32)}, "duration must be at least 1, got 0"),
        ({"frames": np.zeros(7, np.uint8)}, "frames has 7 bytes, sizes add up to"),
        ({"sizes": np.array([4, 0], np.int32)}, "sizes must be positive, got 0"),
        ({"flags": np.array([1, 16], np.uint8)}, "flags has 16, more than 15"),
        (
            {"flags": np.array([1, RecordFlag.FINAL | RecordFlag.TERMINATED], np.uint8)},
            "flag the record before it",
        ),
    ],
)
def test_fragment_refuses_arrays_that_do_not_fit(change, message):
    good = table("F .", frames=[1, 2])
    arrays = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
    with pytest.raises(ValueError, match=message):
        Fragment(**(arrays | change))
