"""Small pictures and what is in their files."""

import io

import numpy as np
from PIL import Image


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
