"""The motions that a stylization asks for, computed ahead in threads and kept in files."""

from __future__ import annotations

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import get_args

import numpy as np

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.flow.masks import consistency_mask
from pipelines.flow.methods import FlowMethod, estimate_flow

# A file of the cache: a tag, height, width and a checksum, then both flows of a pair as float16.
# Not compressed, which would save a tenth.
_HEADER = struct.Struct("<4sIII")
_TAG = b"AFL1"
_KEPT_AS = np.dtype("<f2")

_Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How to bring a frame `since` onto the grid of a frame `to`."""

    flow: np.ndarray
    """float32 (2, H, W), (dx, dy) in pixels, on the grid of `to`, pointing into `since`; finite."""
    mask: np.ndarray
    """float32 (H, W) in 0..1: 1 where `since` shows the same point, see `consistency_mask`."""


class Motions:
    """Motions of pairs of frames of one video, by any number of threads.

    What `prefetch` asks for is computed in threads of this object's own (OpenCV lets Python go on
    meanwhile), and kept in memory until `get` takes it. Both flows of a pair go into one file of
    the cache, as float16, and every motion is derived from what the file holds: one that is
    computed equals one that is read back, bit for bit. A damaged file is computed again.

    Close it, or use it in a `with`.
    """

    def __init__(
        self,
        method: FlowMethod | Callable[[int, int], np.ndarray],
        storage: Storage | None,
        frame: Callable[[int], np.ndarray],
        *,
        height: int,
        width: int,
        prefix: str = "flow",
        soften: bool = False,
        motion_boundaries: bool = True,
        num_threads: int = 1,
        num_kept: int = 8,
    ):
        """
        Args:
            method: how to estimate the flow of two frames; or who knows it, given the numbers of
                frames a and b: float32 (2, H, W) on a's grid, such as `FlowFiles`.
            storage: where the cache is; None for no cache. What is known is never kept there.
            frame: gives a frame, uint8 (height, width, 3), by its number; called by the threads,
                by one at a time, and only for what the cache does not hold.
            height: of the frames, in pixels.
            width: likewise.
            prefix: the cache's folder in `storage`, for one video.
            soften: see `consistency_mask`.
            motion_boundaries: likewise.
            num_threads: that compute.
            num_kept: motions in memory, those in work included, 12 bytes a pixel each; a `get` of
                another makes room for it.
        """
        if num_threads < 1 or num_kept < 1:
            raise ValueError(f"num_threads {num_threads}, num_kept {num_kept}: need at least 1")
        if not callable(method) and (method == "files" or method not in get_args(FlowMethod)):
            raise ValueError(f"method {method!r}: estimates no flow; for files give a FlowFiles")
        self._known = method if callable(method) else None
        self._method: FlowMethod = "files" if callable(method) else method
        self._storage, self._prefix = storage, prefix
        self._frame, self._frame_lock = frame, threading.Lock()
        self._size = height, width
        self._soften, self._motion_boundaries = soften, motion_boundaries
        self._num_kept = num_kept
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="motions")
        self._lock = threading.Lock()
        self._closed = False
        # Of the pairs (since, to). What is asked for waits here, as numbers, until there is room.
        self._wanted: OrderedDict[_Pair, None] = OrderedDict()
        self._motions: OrderedDict[_Pair, Future[Motion]] = OrderedDict()
        self._taken: set[_Pair] = set()

    def prefetch(self, since: int, to: int) -> None:
        """Asks for a motion that `get` will take; does not wait. Errors are raised by `get`."""
        pair = _checked(since, to)
        with self._lock:
            self._check_open()
            if pair not in self._motions:
                self._wanted[pair] = None
            self._begin_wanted()

    def get(self, since: int, to: int) -> Motion:
        """The motion that brings frame `since` onto the grid of frame `to`; waits for it.

        Args:
            since: the number of the frame to take from, before or after `to`.
            to: that of the frame to stand on.

        Raises:
            UserError: the cache cannot be read or written, or a file of flow is missing.
            ValueError: the object is closed.
            Exception: whatever `frame` or the method raised; another `get` tries again.
        """
        pair = _checked(since, to)
        with self._lock:
            self._check_open()
            self._wanted.pop(pair, None)
            future = self._motions.get(pair) or self._begin(pair)
        try:
            motion = future.result()
        except CancelledError as error:
            raise ValueError("these motions are closed") from error
        except Exception:
            self._settle(pair, future, failed=True)
            raise
        self._settle(pair, future, failed=False)
        return motion

    def close(self) -> None:
        """Forgets what is asked for, and waits for what is in work."""
        with self._lock:
            self._closed = True
            self._wanted.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._motions.clear()
            self._taken.clear()

    def __enter__(self) -> Motions:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("these motions are closed")

    def _settle(self, pair: _Pair, future: Future[Motion], *, failed: bool) -> None:
        """Notes that a motion was taken, or that there is none to take."""
        with self._lock:
            if self._motions.get(pair) is future:
                if failed:
                    del self._motions[pair]
                else:
                    self._taken.add(pair)
            if not self._closed:
                self._begin_wanted()

    def _begin_wanted(self) -> None:
        """Begins with what is asked for, as far as there is room. Under the lock."""
        while self._wanted and (len(self._motions) < self._num_kept or self._drop(taken=True)):
            pair, _ = self._wanted.popitem(last=False)
            self._begin(pair)

    def _begin(self, pair: _Pair) -> Future[Motion]:
        """Begins with a motion, for which the oldest finished ones make room. Under the lock."""
        while len(self._motions) >= self._num_kept:
            if not self._drop(taken=True) and not self._drop(taken=False):
                break
        future = self._pool.submit(self._motion, *pair)
        self._motions[pair] = future
        return future

    def _drop(self, *, taken: bool) -> bool:
        """Lets go of the oldest finished motion, of those taken or of any. Under the lock."""
        for pair, future in self._motions.items():
            if future.done() and (pair in self._taken or not taken):
                del self._motions[pair]
                self._taken.discard(pair)
                return True
        return False

    def _motion(self, since: int, to: int) -> Motion:
        forward, backward = self._flows(min(since, to), max(since, to))
        if since > to:
            forward, backward = backward, forward
        mask = consistency_mask(
            forward, backward, soften=self._soften, motion_boundaries=self._motion_boundaries
        )
        # What is not a number has mask 0, and would spoil a frame that is warped all the same.
        return Motion(flow=np.nan_to_num(backward, posinf=0, neginf=0), mask=mask)

    def _flows(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """The flows of the earlier frame a to the later frame b, and back."""
        if self._known is not None:
            return self._fitting(self._known(a, b)), self._fitting(self._known(b, a))
        method = self._method
        name = f"{self._prefix}/{method}_{a:06d}_{b:06d}.flows"
        flows = self._read(name)
        if flows is None:
            with self._frame_lock:
                first, second = self._frame(a), self._frame(b)
            both = estimate_flow(first, second, method), estimate_flow(second, first, method)
            flows = np.stack([self._fitting(flow) for flow in both])
            with np.errstate(over="ignore"):  # then it is not finite, and not trusted
                flows = flows.astype(_KEPT_AS)
            self._write(name, flows)
        forward, backward = flows.astype(np.float32)
        return forward, backward

    def _fitting(self, flow: np.ndarray) -> np.ndarray:
        if flow.shape != (2, *self._size):
            raise ValueError(f"flow has shape {flow.shape}: needs {(2, *self._size)}")
        return np.asarray(flow, np.float32)

    def _read(self, name: str) -> np.ndarray | None:
        """The flows of a pair as they are kept; None where there are none, or damaged ones."""
        if self._storage is None:
            return None
        try:
            data = self._storage.read_bytes(name)
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        if data[: _HEADER.size] != self._header(data[_HEADER.size :]):
            return None
        flows = np.frombuffer(data, _KEPT_AS, offset=_HEADER.size)
        return flows.reshape(2, 2, *self._size)

    def _write(self, name: str, flows: np.ndarray) -> None:
        if self._storage is not None:
            data = flows.tobytes()
            self._storage.write_bytes(name, self._header(data) + data)

    def _header(self, data: bytes) -> bytes:
        return _HEADER.pack(_TAG, *self._size, zlib.crc32(data))


def _checked(since: int, to: int) -> _Pair:
    if since == to or min(since, to) < 0:
        raise ValueError(f"frames {since} and {to}: need two different ones, counted from 0")
    return since, to
