"""From row groups to batches: decoded, cropped and flipped in threads while the network is busy."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from pipelines.colorization.order import Order, Position

_AHEAD = 3  # batches


class Rows(NamedTuple):
    """The pictures of one row group."""

    images: list[bytes]
    """Encoded."""
    labels: np.ndarray
    """int64 (N,), -1 for none."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a worker trains on in one step."""

    images: np.ndarray
    """uint8 (B, S, S, 3) RGB."""
    labels: np.ndarray
    """int64 (B,), -1 for none."""
    position: Position


class Loader:
    """Batches of some streams, ahead of their use; a context manager.

    Args:
        read: reads a row group by its number; may be called in a thread.
        order: of the rows.
        streams: that are read here.
        since: the first batch.
        crop: side in pixels of the squares that are cut out of the pictures at random.
        num_threads: that decode.
    """

    def __init__(
        self,
        read: Callable[[int], Rows],
        order: Order,
        streams: range,
        since: Position,
        *,
        crop: int,
        num_threads: int = 1,
    ):
        self._read, self._order, self._crop = read, order, crop
        self._streams, self._since = streams, since
        self._pool = ThreadPoolExecutor(num_threads, "decode")
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)

    def __enter__(self) -> Loader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):  # where the thread may wait for room
                self._ready.get(timeout=0.05)
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end; raises what reading raised."""
        while True:
            got = self._ready.get()
            if isinstance(got, BaseException):
                raise got
            yield got

    def _work(self) -> None:
        try:
            groups = _Groups(self._read, 2 * len(self._streams))
            pending: list[tuple[Position, list[Future[np.ndarray]], np.ndarray]] = []
            for position, places in self._order.batches(self._streams, self._since):
                futures, labels = [], np.empty(len(places), np.int64)
                for at, place in enumerate(places):
                    group = groups.get(place.group)
                    rng = self._order.picture_rng(position.epoch, place)
                    image = group.images[place.row]
                    futures.append(self._pool.submit(augmented, image, self._crop, rng))
                    labels[at] = group.labels[place.row]
                pending.append((position, futures, labels))
                if len(pending) > 1:  # the next one is decoded while this one is put together
                    self._put(*pending.pop(0))
                if self._over.is_set():
                    return
        except BaseException as error:  # told where the batches are taken
            self._offer(error)

    def _put(
        self, position: Position, futures: list[Future[np.ndarray]], labels: np.ndarray
    ) -> None:
        images = np.stack([future.result() for future in futures])
        self._offer(Batch(images=images, labels=labels, position=position))

    def _offer(self, what: Batch | BaseException) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(what, timeout=0.1)
                return


class _Groups:
    """The row groups read last: each stream goes through one after another."""

    def __init__(self, read: Callable[[int], Rows], num_kept: int):
        self._read, self._num_kept = read, num_kept
        self._kept: OrderedDict[int, Rows] = OrderedDict()

    def get(self, number: int) -> Rows:
        if number not in self._kept:
            self._kept[number] = self._read(number)
            if len(self._kept) > self._num_kept:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]


def augmented(image: bytes, crop: int, rng: np.random.Generator) -> np.ndarray:
    """Decodes a picture, cuts a square out at random, and mirrors it in one of two cases.

    Args:
        image: encoded; at least `crop` pixels on each side.
        crop: side of the square.
        rng: of the place and the mirror.

    Returns:
        uint8 (crop, crop, 3) RGB.
    """
    picture = decoded(image)
    height, width, _ = picture.shape
    top, left = rng.integers(height - crop + 1), rng.integers(width - crop + 1)
    square = picture[top : top + crop, left : left + crop]
    return square[:, ::-1] if rng.integers(2) else square


def centred(image: bytes, crop: int) -> np.ndarray:
    """Decodes a picture and cuts the square in its middle out: uint8 (crop, crop, 3) RGB."""
    picture = decoded(image)
    height, width, _ = picture.shape
    top, left = (height - crop) // 2, (width - crop) // 2
    return picture[top : top + crop, left : left + crop]


def decoded(image: bytes) -> np.ndarray:
    """A picture of the prepared data: uint8 (H, W, 3) RGB."""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError("a picture of the prepared data cannot be decoded")
    return picture
