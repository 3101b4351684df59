"""Small pictures and what is in their files."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from arcadia.media import VideoWriter, write_image


def colorful(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Four fields of strong colours that differ with the seed; uint8 (H, W, 3)."""
    picture = np.zeros((height, width, 3), np.uint8)
    colors = np.random.default_rng(seed).permutation(
        [(230, 40, 30), (30, 60, 220), (20, 190, 40), (240, 220, 20)]
    )
    picture[: height // 2, : width // 2] = colors[0]
    picture[: height // 2, width // 2 :] = colors[1]
    picture[height // 2 :, : width // 2] = colors[2]
    picture[height // 2 :, width // 2 :] = colors[3]
    return picture


def encoded(picture: np.ndarray | Image.Image, format: str = "JPEG", **options) -> bytes:
    """A picture as a file's bytes."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    data = io.BytesIO()
    if format == "JPEG":
        options = {"quality": 95, "subsampling": 0} | options
    image.save(data, format, **options)
    return data.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """A file's bytes as uint8 (H, W, 3) RGB."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"))


def make_pictures(folder: Path, number: int) -> Path:
    """So many pictures of 64 x 96 in folders of two classes."""
    for label in ("one", "two"):
        for i in range(number // 2):
            write_image(folder / label / f"{i:03d}.png", colorful(64, 96, seed=i))
    return folder


def make_film(path: Path, frames: int) -> Path:
    """One shot of 64 x 96 that moves to the right; others by other names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = colorful(64, 96, seed=len(path.name))
    with VideoWriter(path, 25) as video:
        for i in range(frames):
            video.write(np.roll(picture, i, axis=1))
    return path
