"""Films in colour, frame by frame: their frames' times, range of levels and sound stay."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from arcadia.errors import UserError
from arcadia.media import Frame, Sink, Source, open_sink, open_source, resized
from arcadia.media.shots import scan
from arcadia.storage import Storage, folder_and_name
from pipelines.colorization.coloring.brush import BATCH_PX, Brush
from pipelines.colorization.coloring.threads import ahead

_BATCH_FRAMES = 16
_AHEAD = 2  # batches


class Done(NamedTuple):
    """A film that is written."""

    frames: int
    problem: str
    """What of it could not be read; empty when all could be."""


class Smoother:
    """Steadies the colours of a film: a running mean along the motion.

    `strength * before + (1 - strength) * now`, where `before` is the mean of the frame before,
    brought along the optical flow to where its points are now, and only where both frames show the
    same points. It begins anew at each cut.

    Args:
        strength: 0 (nothing) to below 1.
        cuts: numbers of the frames with which shots begin.
    """

    def __init__(self, strength: float, cuts: Sequence[int]):
        self._strength = strength
        self._cuts = frozenset(cuts)
        self._mean: Tensor | None = None
        self._before: np.ndarray | None = None

    def __call__(self, number: int, image_hwc: np.ndarray, color: Tensor) -> Tensor:
        """The colours of the next frame.

        Args:
            number: of the frame.
            image_hwc: uint8 (H, W, 3) RGB, the frame.
            color: (C, h, w), what the network gives it.

        Returns:
            (C, h, w).
        """
        from pipelines.flow import consistency_mask, estimate_flow, warp

        height, width = color.shape[1:]
        now = resized(image_hwc, (height, width))
        if self._mean is None or self._before is None or number in self._cuts:
            self._mean = color
        else:
            back = estimate_flow(now, self._before, "dis_medium")
            there = estimate_flow(self._before, now, "dis_medium")
            mask = torch.from_numpy(consistency_mask(there, back)).to(color.device)
            before = warp(self._mean, torch.from_numpy(back).to(color.device))
            self._mean = color + self._strength * mask * (before - color)
        self._before = now
        return self._mean


def color_film(
    source: Source,
    output: Path,
    brush: Brush,
    *,
    crf: int = 18,
    smoothing: float = 0.0,
    on_frame: Callable[[int], None] = lambda done: None,
) -> Done:
    """Writes a film in colour.

    Args:
        source: the film.
        output: the file, which appears when it is whole.
        brush: what colours it.
        crf: x264's quality.
        smoothing: of `Smoother`.
        on_frame: called now and then with how many frames are coloured.

    Raises:
        UserError: nothing of it can be read, or the place cannot be written; nothing is left there
            then.
    """
    info = source.info
    smoother = None
    if smoothing:
        # One more read, but a cut is only known some frames behind it.
        smoother = Smoother(smoothing, [start for start, _ in scan(source).shots])
    size = max(min(BATCH_PX // (info.height * info.width), _BATCH_FRAMES), 1)
    batches = _Batches(source, size)
    sink = open_sink(
        output,
        info=info,
        audio_from=source.path if info.has_audio else None,
        crf=crf,
    )
    done = 0
    with sink, ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        pending: deque[Future[None]] = deque()
        numbers = itertools.takewhile(lambda _: not batches.is_over, itertools.count())
        for batch in ahead(reader, lambda _: batches.next(), numbers, _AHEAD):
            if not batch:
                continue
            images = np.stack([frame.image for frame in batch])
            lightness, color = brush.look(images)
            if smoother is not None:
                frames = zip(batch, color, strict=True)
                color = torch.stack([smoother(f.index, f.image, own) for f, own in frames])
            pending.append(writer.submit(_write, sink, batch, brush.paint(lightness, color)))
            if len(pending) > _AHEAD:
                pending.popleft().result()
            done += len(batch)
            on_frame(done)
        for future in pending:
            future.result()
        if not done:
            raise UserError(batches.problem or f"{source.path}: holds no video frame")
    return Done(done, batches.problem)


@contextlib.contextmanager
def film_on_disk(source: str) -> Iterator[Source]:
    """A film that may have to be brought to this machine first."""
    if "://" not in source:
        yield open_source(source)
        return
    folder, name = folder_and_name(source)
    with tempfile.TemporaryDirectory(prefix="arcadia-") as place:
        local = Path(place, PurePosixPath(name).name)
        Storage.at(folder).download(name, local)
        yield open_source(local)


class _Batches:
    """The frames of a film in batches, and what could not be read of them."""

    def __init__(self, source: Source, size: int):
        self._frames = source.frames()
        self._size = size
        self.is_over = False
        self.problem = ""

    def next(self) -> list[Frame]:
        """The next batch; empty at the end."""
        batch: list[Frame] = []
        try:
            for frame in itertools.islice(self._frames, self._size):
                batch.append(frame)
        except UserError as error:  # at the end: what could be read came before
            self.problem = str(error)
            self.is_over = True
        self.is_over |= len(batch) < self._size
        return batch


def _write(sink: Sink, batch: Sequence[Frame], images: np.ndarray) -> None:
    for frame, image in zip(batch, images, strict=True):
        sink.write(image, frame.time)
