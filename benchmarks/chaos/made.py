"""Pictures and a film that cost nothing to come by."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from arcadia.media import VideoWriter, image_bytes

_DISTINCT = 12  # pictures: names tell them apart, and all of them would take long to pack
_COLORS = ((210, 40, 30), (40, 160, 60), (30, 60, 200), (230, 210, 60))
_CLASSES = ("warm", "cold")


def picture(side: int, number: int) -> np.ndarray:
    """A disc of one colour before another, shaded; uint8 (side, side, 3)."""
    y, x = np.mgrid[:side, :side]
    center = side * (0.3 + 0.4 * (number % 5) / 4)
    disc = (x - center) ** 2 + (y - side / 2) ** 2 < (side / 4) ** 2
    inside, outside = (_COLORS[(number + shift) % len(_COLORS)] for shift in (0, 1))
    shade = 0.7 + 0.3 * (x + y) / (2 * side)
    return (np.where(disc[..., None], inside, outside) * shade[..., None]).astype(np.uint8)


def write_pictures(folder: Path, count: int, *, side: int) -> list[str]:
    """Writes PNG files into two folders, which are two classes.

    Args:
        folder: that gets them.
        count: of the files.
        side: of each, in pixels.

    Returns:
        Their names below the folder.
    """
    files = [image_bytes(picture(side, number), ".png") for number in range(_DISTINCT)]
    names = [f"{_CLASSES[number % 2]}/{number:05d}.png" for number in range(count)]
    for name in _CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, data in zip(names, itertools.cycle(files)):
        (folder / name).write_bytes(data)
    return names


def write_film(path: Path, shots: int, frames_per_shot: int) -> int:
    """Writes a film of shots in which a square moves over stripes; cuts are found from 15 frames
    on. Its number of frames."""
    y, x = np.mgrid[:64, :96]
    stripes = np.stack([x * 2, y * 3, (x + y) * 3 // 2], -1).astype(np.uint8)
    with VideoWriter(path, 25, crf=10) as video:
        for shot, index in itertools.product(range(shots), range(frames_per_shot)):
            frame = stripes.copy() if shot % 2 else 255 - stripes[:, :, ::-1] // 2
            left = 4 + 4 * (index % 16)
            frame[16:40, left : left + 24] = (10, 20, 60) if shot % 2 else (230, 40, 30)
            video.write(frame)
    return shots * frames_per_shot
