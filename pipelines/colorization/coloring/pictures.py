"""Pictures from files to coloured files: read and written in threads, coloured in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np
import torch

from arcadia.errors import UserError
from arcadia.media import image_bytes, read_layers
from arcadia.storage import Stamp, Storage, folder_and_name
from pipelines.colorization.coloring.brush import BATCH_PX, Brush
from pipelines.colorization.coloring.plan import JPEG_SUFFIXES, Item
from pipelines.colorization.coloring.results import Record
from pipelines.colorization.coloring.threads import ahead

_AHEAD = 3  # pictures: one of 100 megapixels takes 300 MB
NO_ROOM = "does not fit into this GPU's memory; give --size 1024 or less"


@dataclass
class _Picture:
    item: Item
    rgb: np.ndarray
    """uint8 (H, W, 3)."""
    alpha: np.ndarray | None
    """uint8 (H, W)."""
    problem: str = ""


_NOTHING = np.empty((0, 0, 3), np.uint8)


def color_pictures(
    items: Iterable[Item], brush: Brush, outputs: Storage
) -> Iterator[tuple[Item, Record | str]]:
    """Colours pictures in their order; those of one size that follow each other together.

    Args:
        items: the pictures.
        brush: what colours them.
        outputs: the folder of results.

    Yields:
        Each picture with the record of its result, which is written, or why there is none.
    """
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(2) as writers:

        def colored() -> Iterator[_Picture]:
            for batch in _batches(ahead(readers, _read, items, _AHEAD)):
                yield from _colored(batch, brush)

        def written(picture: _Picture) -> tuple[Item, Stamp | str]:
            return picture.item, _write(picture, outputs)

        for item, result in ahead(writers, written, colored(), _AHEAD):
            if isinstance(result, str):
                yield item, result
            else:
                yield item, Record(item=item.number, stamp=result)


def decode_picture(source: str) -> tuple[np.ndarray, np.ndarray | None]:
    """See `read_layers`."""
    folder, name = folder_and_name(source)
    storage = Storage.at(folder)
    return read_layers(storage.read_bytes(name), storage.shown(name))


def _read(item: Item) -> _Picture:
    try:
        rgb, alpha = decode_picture(item.source)
    except UserError as error:
        return _Picture(item, _NOTHING, None, str(error))
    return _Picture(item, rgb, alpha)


def _batches(pictures: Iterable[_Picture]) -> Iterator[list[_Picture]]:
    batch: list[_Picture] = []
    for picture in pictures:
        pixels = picture.rgb.size // 3
        if batch and (
            picture.rgb.shape != batch[0].rgb.shape or (len(batch) + 1) * pixels > BATCH_PX
        ):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch


def _colored(batch: list[_Picture], brush: Brush) -> Iterator[_Picture]:
    if not batch[0].problem:
        try:
            images = brush(np.stack([picture.rgb for picture in batch]))
        except torch.cuda.OutOfMemoryError:
            for picture in batch:
                picture.problem = f"{picture.item.shown}: {NO_ROOM}"
        else:
            for picture, image in zip(batch, images, strict=True):
                picture.rgb = image
    yield from batch


def _write(picture: _Picture, outputs: Storage) -> Stamp | str:
    """Writes a result; answers its stamp, or why there is none."""
    if picture.problem:
        return picture.problem
    name, image = picture.item.output, picture.rgb
    suffix = PurePosixPath(name).suffix
    if picture.alpha is not None:
        is_jpeg = suffix.lower() in JPEG_SUFFIXES
        image = _on_white(image, picture.alpha) if is_jpeg else np.dstack([image, picture.alpha])
    try:
        outputs.write_bytes(name, image_bytes(image, suffix))
        stamp = outputs.stamp(name)
    except UserError as error:
        return str(error)
    return f"{outputs.shown(name)}: is gone again; who removed it?" if stamp is None else stamp


def _on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A transparent picture for a format that has no transparency."""
    share = cv2.merge([alpha] * 3).astype(np.float32) / 255
    return (rgb * share + 255 * (1 - share)).round().astype(np.uint8)
