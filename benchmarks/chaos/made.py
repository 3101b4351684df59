"""Pictures and a film that cost nothing to come by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arcadia.media import VideoWriter, image_bytes

_DISTINCT = 8  # pictures: names tell the others apart, which are further links to these
_COLORS = ((210, 40, 30), (40, 160, 60), (30, 60, 200), (230, 210, 60))


def picture(side: int, number: int) -> np.ndarray:
    """A disc of one colour before another, shaded; uint8 (side, side, 3)."""
    y, x = np.mgrid[:side, :side]
    center = side * (0.3 + 0.4 * (number % 5) / 4)
    disc = (x - center) ** 2 + (y - side / 2) ** 2 < (side / 4) ** 2
    inside, outside = (_COLORS[(number + shift) % len(_COLORS)] for shift in (0, 1))
    shade = 0.7 + 0.3 * (x + y) / (2 * side)
    return (np.where(disc[..., None], inside, outside) * shade[..., None]).astype(np.uint8)


def write_pictures(
    folder: Path, count: int, *, side: int, classes: Sequence[str] = ("warm", "cold")
) -> list[str]:
    """Writes PNG files.

    Args:
        folder: that gets them.
        count: of the files.
        side: of each, in pixels.
        classes: folders below it that they are shared out to.

    Returns:
        Their names below the folder.
    """
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = [str(Path(classes[n % len(classes)], f"{n:05d}.png")) for n in range(count)]
    for number, name in enumerate(names):
        if number < _DISTINCT:
            (folder / name).write_bytes(image_bytes(picture(side, number), ".png"))
        else:
            (folder / name).hardlink_to(folder / names[number % _DISTINCT])
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
