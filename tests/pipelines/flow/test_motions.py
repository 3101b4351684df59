from __future__ import annotations

import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.flow import FlowFiles, Motion, Motions, MovingScene, consistency_mask, write_flo

SCENE = MovingScene(height=40, width=56, radius=9)
SIZE = {"height": 40, "width": 56}


@pytest.fixture(params=["disk", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A place for the cache, once on a disk and once in an object store."""
    if request.param == "disk":
        return Storage.at(tmp_path / "one")
    from fsspec.implementations.memory import MemoryFileSystem
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    store = PyFileSystem(FSSpecHandler(MemoryFileSystem()))
    return Storage.at(f"bucket/{tmp_path.name}", store)


def no_frame(index: int) -> np.ndarray:
    raise AssertionError(f"frame {index} is not needed")


def same(a: Motion, b: Motion) -> bool:
    return a.flow.tobytes() == b.flow.tobytes() and a.mask.tobytes() == b.mask.tobytes()


class Exact:
    """Knows the flow, counts who asks, and can be held up."""

    def __init__(self):
        self.asked: Counter[tuple[int, int]] = Counter()
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()

    def __call__(self, a: int, b: int) -> np.ndarray:
        self.go_on.wait(20)
        with self._lock:
            self.asked[a, b] += 1
        return self.flow(a, b)

    @staticmethod
    def flow(a: int, b: int) -> np.ndarray:
        """Tells pairs apart, and leads back."""
        shift = np.float32([min(a, b) % 7, max(a, b) % 5]).reshape(2, 1, 1)
        return SCENE.flow(a, b) + (shift if a < b else -shift)

    def expected(self, since: int, to: int) -> Motion:
        forward, backward = self.flow(since, to), self.flow(to, since)
        return Motion(flow=backward, mask=consistency_mask(forward, backward))


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_a_motion_is_that_of_the_masks(storage: Storage):
    with Motions("dis_fine", storage, SCENE.frame, **SIZE) as motions:
        motion = motions.get(2, 3)
    assert motion.flow.dtype == motion.mask.dtype == np.float32
    assert motion.flow.shape == (2, 40, 56) and motion.mask.shape == (40, 56)
    # On the grid of frame 3, pointing into frame 2.
    inner = np.abs(motion.flow - SCENE.flow(3, 2)).sum(axis=0)[8:-8, 8:-8]
    assert np.median(inner) < 0.3 and motion.mask.mean() > 0.6


@pytest.mark.parametrize("soften", [False, True])
def test_what_is_read_back_equals_what_was_computed(storage: Storage, soften: bool):
    pairs = [(0, 1), (1, 0), (0, 4), (5, 3)]
    options = {**SIZE, "soften": soften}
    with Motions("dis_medium", storage, SCENE.frame, **options) as motions:
        computed = [motions.get(*pair) for pair in pairs]
    with Motions("dis_medium", storage, no_frame, **options) as motions:
        assert all(same(motions.get(*p), c) for p, c in zip(pairs, computed, strict=True))
    with Motions("dis_medium", None, SCENE.frame, **options) as motions:
        assert all(same(motions.get(*p), c) for p, c in zip(pairs, computed, strict=True))
    assert len(storage.list("flow")) == 3  # both ways of a pair are one file
    assert (computed[0].flow != computed[1].flow).any()


def test_each_method_and_each_prefix_has_files_of_its_own(storage: Storage):
    for method, prefix in (("dis_fine", "a"), ("farneback", "a"), ("dis_fine", "b/c")):
        with Motions(method, storage, SCENE.frame, **SIZE, prefix=prefix) as motions:
            motions.get(7, 8)
    assert storage.list() == [
        "a/dis_fine_000007_000008.flows",
        "a/farneback_000007_000008.flows",
        "b/c/dis_fine_000007_000008.flows",
    ]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "longer", "other"])
def test_a_damaged_file_is_computed_again(storage: Storage, damage: str):
    with Motions("dis_medium", storage, SCENE.frame, **SIZE) as motions:
        motion = motions.get(0, 1)
    [name] = storage.list()
    data = storage.read_bytes(name)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    storage.write_bytes(
        name,
        {
            "empty": b"",
            "cut": data[:-1000],
            "flipped": bytes(flipped),
            "longer": data + b"\0",
            "other": b"\x89PNG" + data[4:],
        }[damage],
    )
    with Motions("dis_medium", storage, SCENE.frame, **SIZE) as motions:
        assert same(motions.get(0, 1), motion)
    assert storage.read_bytes(name) == data


def test_a_file_of_another_size_is_computed_again(storage: Storage):
    # Of as many pixels: only its header tells.
    turned = MovingScene(height=56, width=40, radius=9)
    with Motions("dis_medium", storage, turned.frame, height=56, width=40) as motions:
        motions.get(0, 1)
    with Motions("dis_medium", storage, SCENE.frame, **SIZE) as motions:
        assert motions.get(0, 1).flow.shape == (2, 40, 56)


def test_known_flows_are_used_both_ways_and_not_kept(storage: Storage):
    exact = Exact()
    with Motions(exact, storage, no_frame, **SIZE) as motions:
        assert same(motions.get(0, 2), exact.expected(0, 2))
        assert same(motions.get(2, 0), exact.expected(2, 0))
    assert not storage.exists("flow")
    with Motions(exact, None, no_frame, **SIZE, motion_boundaries=False) as motions:
        assert motions.get(0, 2).mask.sum() > exact.expected(0, 2).mask.sum()


def test_files_of_flow_serve(tmp_path: Path):
    flow = SCENE.flow(0, 1)
    flow[:, 5, 5] = np.nan
    write_flo(tmp_path / "forward_1_2.flo", flow)
    backward = SCENE.flow(1, 0)
    backward[:, 20, 30] = np.nan
    write_flo(tmp_path / "backward_2_1.flo", backward)
    with Motions(FlowFiles(folder=tmp_path, **SIZE), None, no_frame, **SIZE) as motions:
        motion = motions.get(0, 1)
        assert np.isfinite(motion.flow).all() and motion.mask[20, 30] == 0
        assert (motion.flow[:, 0] == backward[:, 0]).all()
        motions.prefetch(1, 2)
        with pytest.raises(UserError, match=r"forward_2_3\.flo: no such flow file"):
            motions.get(1, 2)


def test_prefetch_does_not_wait_and_get_does():
    exact = Exact()
    exact.go_on.clear()
    with Motions(exact, None, no_frame, **SIZE) as motions:
        began = time.monotonic()
        motions.prefetch(0, 1)
        assert time.monotonic() - began < 5 and not exact.asked
        threading.Timer(0.2, exact.go_on.set).start()
        assert same(motions.get(0, 1), exact.expected(0, 1))


@pytest.mark.parametrize("num_threads", [1, 3])
def test_however_much_is_asked_for_little_is_held(num_threads: int):
    exact, motion_bytes = Exact(), 12 * 40 * 56
    options = {**SIZE, "num_threads": num_threads, "num_kept": 4}
    exact.expected(0, 1)
    tracemalloc.start()
    try:
        with Motions(exact, None, no_frame, **options) as motions:
            for to in range(1, 60):
                motions.prefetch(to - 1, to)
            wait_until(lambda: exact.asked.total() == 2 * 4)
            time.sleep(0.1)
            assert exact.asked.total() == 2 * 4
            assert 3 * motion_bytes < tracemalloc.get_traced_memory()[0] < 8 * motion_bytes
            for to in range(1, 60):
                assert same(motions.get(to - 1, to), exact.expected(to - 1, to))
            assert tracemalloc.get_traced_memory()[0] < 8 * motion_bytes
        assert set(exact.asked.values()) == {1}
        assert tracemalloc.get_traced_memory()[0] < 3 * motion_bytes
    finally:
        tracemalloc.stop()


def test_what_was_asked_for_and_never_taken_does_not_stop_the_rest():
    exact = Exact()
    with Motions(exact, None, no_frame, **SIZE, num_kept=3) as motions:
        for to in range(1, 9):
            motions.prefetch(to - 1, to)
        for to in range(100, 110):
            assert same(motions.get(to - 1, to), exact.expected(to - 1, to))
        for to in range(1, 9):
            assert same(motions.get(to - 1, to), exact.expected(to - 1, to))


def test_many_threads_get_what_they_asked_for(storage: Storage):
    names = [(since, to) for to in range(6) for since in range(6) if since != to]
    in_use = threading.Lock()

    def frame(index: int) -> np.ndarray:
        assert in_use.acquire(blocking=False), "frames are asked for by one at a time"
        try:
            time.sleep(0.001)
            return SCENE.frame(index)
        finally:
            in_use.release()

    with Motions("dis_medium", storage, frame, **SIZE) as motions:
        expected = {pair: motions.get(*pair) for pair in names}
    for name in storage.list()[::2]:
        storage.write_bytes(name, b"damaged")
    with Motions("dis_medium", storage, frame, **SIZE, num_threads=4, num_kept=3) as motions:

        def ask(seed: int) -> bool:
            rng = np.random.default_rng(seed)
            fine = True
            for index in rng.permutation(len(names)):
                motions.prefetch(*names[rng.integers(len(names))])
                fine &= same(motions.get(*names[index]), expected[names[index]])
            return fine

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(ask, range(6)))


def test_what_is_asked_for_begins_as_soon_as_there_is_room():
    exact = Exact()
    with Motions(exact, None, no_frame, **SIZE, num_kept=1) as motions:
        motions.prefetch(0, 1)
        motions.prefetch(1, 2)
        motions.get(0, 1)
        wait_until(lambda: exact.asked[1, 2] == 1)


@pytest.mark.parametrize("num_kept", [1, 8])
def test_a_thread_s_error_is_raised_by_get_and_may_pass(num_kept: int):
    broken = {1}

    def frame(index: int) -> np.ndarray:
        if index in broken:
            raise OSError("frame 1 cannot be decoded")
        return SCENE.frame(index)

    with Motions("dis_medium", None, frame, **SIZE, num_kept=num_kept) as motions:
        motions.prefetch(0, 1)
        motions.prefetch(2, 3)
        with pytest.raises(OSError, match="frame 1 cannot be decoded"):
            motions.get(0, 1)
        assert motions.get(2, 3).flow.shape == (2, 40, 56)
        broken.clear()
        assert motions.get(0, 1).flow.shape == (2, 40, 56)


def test_a_frame_of_another_size_is_named():
    with Motions("dis_medium", None, SCENE.frame, height=40, width=50) as motions:
        with pytest.raises(ValueError, match=r"shape \(2, 40, 56\): needs \(2, 40, 50\)"):
            motions.get(0, 1)


def test_no_room_for_the_cache_is_the_user_s_to_solve(make_disk: Callable[[str], Path]):
    with Motions("dis_medium", Storage.at(make_disk("16k")), SCENE.frame, **SIZE) as motions:
        with pytest.raises(UserError, match=r"cannot write: No space left .*free some space"):
            motions.get(0, 1)


def test_closing_waits_for_what_is_in_work_and_forgets_the_rest():
    exact = Exact()
    exact.go_on.clear()
    motions = Motions(exact, None, no_frame, **SIZE)
    for to in range(1, 20):
        motions.prefetch(to - 1, to)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(motions.get, 4, 5)
        wait_until(lambda: waiting.running())
        time.sleep(0.1)
        threading.Timer(0.2, exact.go_on.set).start()
        motions.close()
        with pytest.raises(ValueError, match="closed"):
            waiting.result(20)
    assert exact.asked == {(0, 1): 1, (1, 0): 1}
    for ask in (motions.get, motions.prefetch):
        with pytest.raises(ValueError, match="closed"):
            ask(0, 1)
    motions.close()


@pytest.mark.parametrize("pair", [(3, 3), (-1, 0), (0, -2)])
def test_a_pair_is_of_two_frames_of_the_video(pair: tuple[int, int]):
    with Motions(Exact(), None, no_frame, **SIZE) as motions:
        with pytest.raises(ValueError, match="need two different ones"):
            motions.get(*pair)


@pytest.mark.parametrize(
    ("method", "options", "match"),
    [
        ("files", {}, "for files give a FlowFiles"),
        ("dis", {}, "'dis'"),
        ("dis_fine", {"num_threads": 0}, "num_threads 0"),
        ("dis_fine", {"num_kept": 0}, "num_kept 0"),
    ],
)
def test_bad_options_are_refused(method, options: dict[str, int], match: str):
    with pytest.raises(ValueError, match=match):
        Motions(method, None, no_frame, **SIZE, **options)
