"""The ceiling in bytes, and saving and restoring."""

from typing import Any

import numpy as np
import pytest

from algorithms.replay import FrameCodec
from tests.algorithms.replay.tables import make, rows, table


def test_evicted_streams_are_forgotten():
    replay = make(capacity=8)
    sizes = []
    for stream in range(100):
        replay.add(table("F .", frames=[1, 2], stream=stream))
        sizes.append(replay.nbytes)
    assert len(set(sizes[10:])) == 1


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_ceiling_in_bytes_holds_and_keeps_the_newest(compression):
    ceiling = 400_000
    codec = FrameCodec((28, 28), compression=compression)
    options = {"capacity": 2000, "frame_shape": (28, 28), "compression": compression}
    replay = make(**options, max_bytes=ceiling)
    rng = np.random.default_rng(0)
    lengths = []
    for number in range(0, 2000, 20):
        frames = rng.integers(0, 256, (20, 28, 28))
        flags = " ".join(["F" if number == 0 else "."] + ["."] * 19)
        replay.add(table(flags, frames=frames, codec=codec, sequence=number))
        assert replay.nbytes <= ceiling
        lengths.append(len(replay))
    assert replay.head == 2000
    # Noise does not compress. The metadata takes 60 KB; of the 30 chunks that are left, one is
    # evicted at a time and every one has a rest that is too short for a frame.
    assert min(lengths[50:]) * 784 > 0.86 * (ceiling - 60_000)
    assert replay.sample(32).id.min() > replay.tail


def test_ceiling_holds_for_any_number_of_streams():
    replay = make(capacity=200, max_bytes=12_000)
    for stream in range(200):
        replay.add(table("F .", frames=[1, 2], stream=stream))
        assert replay.nbytes <= 12_000
    assert list(rows(replay))


def test_least_ceiling_holds_one_transition():
    noise = np.random.default_rng(0).integers(0, 256, (30, 500))
    codec = FrameCodec((500,))
    options: dict[str, Any] = {"capacity": 40, "frame_shape": (500,), "stack": 4, "n_step": 2}
    with pytest.raises(ValueError, match="take") as error:
        make(**options, max_bytes=1)
    least = int(str(error.value).split("take ")[1].split(";")[0])
    replay = make(**options, max_bytes=least)
    replay.add(table("F" + " ." * 29, frames=noise, codec=codec))
    assert replay.nbytes <= least
    np.testing.assert_array_equal(replay.sample(1).s_tm1[0], noise[24:28])


def test_small_replay_is_small():
    assert make(capacity=100, stack=4).nbytes < 10_000
    replay = make(capacity=100, frame_shape=(84, 84), compression="none")
    codec = FrameCodec((84, 84), compression="none")
    replay.add(table("F" + " ." * 99, frames=np.zeros(100 * 84 * 84), codec=codec))
    # A byte of goal and four of duration more than the 5 % that it took before.
    assert replay.nbytes < 1.05 * 100 * 84 * 84 + 100 * (1 + 4)


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_restored_replay_goes_on_identically(compression):
    codec = FrameCodec((1,), compression=compression)
    options = {"capacity": 12, "compression": compression, "n_step": 2, "max_bytes": 8_000}
    replay = make(**options)
    first = table("F . . . T E F . . . . . . .", frames=range(1, 15), codec=codec)
    replay.add(first)
    restored = make(**options, rng=np.random.default_rng(99))
    restored.set_state(replay.get_state())
    assert len(restored) == len(replay) and restored.nbytes == replay.nbytes
    for number in range(14, 40):
        for each in (replay, restored):
            each.add(table(".", frames=[number], sequence=number, codec=codec))
        mine, theirs = replay.sample(8), restored.sample(8)
        for name in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t", "id"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        assert restored.nbytes == replay.nbytes


def test_empty_replay_can_be_saved():
    restored = make()
    restored.set_state(make().get_state())
    restored.add(table("F .", frames=[1, 2]))
    assert list(rows(restored)) == [0]


def test_state_is_a_copy():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    state = replay.get_state()
    for _ in range(20):
        replay.add(table("F .", frames=[3, 4]))
    restored = make()
    restored.set_state(state)
    assert rows(restored) == {0: ([0, 1], 10, 0.0, 0.5, [1, 2])}


@pytest.mark.parametrize(
    "change",
    [
        {"stack": 3},
        {"capacity": 17},
        {"frame_shape": (2,)},
        {"frame_dtype": np.int8},
        {"compression": "none"},
        {"max_bytes": 50_000},
    ],
)
def test_state_of_another_layout_is_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} of the saved replay is"):
        make(**change).set_state(make().get_state())


def test_gamma_may_change_on_restore():
    replay = make()
    replay.add(table("F .", frames=[1, 2]))
    restored = make(gamma=0.25)
    restored.set_state(replay.get_state())
    assert rows(restored)[0][3] == 0.25
