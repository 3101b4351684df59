"""Frames of a part of a video, decoded in blocks as they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from arcadia.errors import UserError
from arcadia.media import Frame, Source, resized

_BLOCK = 8
_HELD_BLOCKS = 4


class ShotFrames:
    """Frames [first, stop) of a video at the size at which they are painted, from any thread.

    A few blocks of frames are held, whatever the length. Going forward, decoding goes on where it
    was; going backward, each block is looked up in the file.

    Args:
        source: the video.
        first: the first frame that may be asked for.
        stop: the one after the last.
        time: of a frame of the video in seconds, by which it is looked up; None: it cannot be.
        size: height and width of what is handed out.
    """

    def __init__(
        self,
        source: Source,
        first: int,
        stop: int,
        time: Callable[[int], Fraction | None],
        size: tuple[int, int],
    ):
        self._source = source
        self._first, self._stop, self._time = first, stop, time
        self._size = size
        self._blocks: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self._decoder: Iterator[Frame] | None = None
        self._decoder_at = first
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> np.ndarray:
        """A frame by its number in the video: uint8 (H, W, 3) RGB, not to be changed."""
        if not self._first <= number < self._stop:
            raise IndexError(f"frame {number}: want {self._first} to {self._stop - 1}")
        block, place = divmod(number - self._first, _BLOCK)
        with self._lock:
            if block not in self._blocks:
                self._blocks[block] = self._decode(block)
                if len(self._blocks) > _HELD_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(block)
            return self._blocks[block][place]

    def _decode(self, block: int) -> list[np.ndarray]:
        start = self._first + block * _BLOCK
        stop = min(start + _BLOCK, self._stop)
        if self._decoder is None or self._decoder_at != start:
            self._decoder = self._source.frames(start, self._stop, start_time=self._time(start))
        numbers = range(start, stop)  # first: of two, `zip` takes one too many from the first
        frames = [
            resized(f.image, self._size) for _, f in zip(numbers, self._decoder, strict=False)
        ]
        self._decoder_at = stop
        if len(frames) < stop - start:
            raise UserError(
                f"{self._source.path}: frame {start + len(frames)} could be read before and cannot "
                "now; was the file changed?"
            )
        return frames
