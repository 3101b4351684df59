"""Pictures at other sizes, and beside each other."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from arcadia.media.draw import draw_label


def scaled_size(height: int, width: int, longest: int | None) -> tuple[int, int]:
    """Height and width of a picture whose longer side is brought to a length.

    Args:
        height: of the picture.
        width: of the picture.
        longest: what the longer side becomes; None: as it is.
    """
    if longest is None:
        return height, width
    scale = longest / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def resized(image_hwc: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture at (height, width): averaged over areas when smaller, cubic when larger."""
    height, width = size
    if image_hwc.shape[:2] == size:
        return image_hwc
    is_smaller = height * width < image_hwc.shape[0] * image_hwc.shape[1]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    return cv2.resize(image_hwc, (width, height), interpolation=how)


def side_by_side(pictures: Mapping[str, np.ndarray], longest: int) -> np.ndarray:
    """Pictures of one shape in a row, each with its name: uint8 (h, w, 3).

    Args:
        pictures: by name, uint8 (H, W, 3) RGB.
        longest: what the longer side of each becomes, in pixels.
    """
    height, width = next(iter(pictures.values())).shape[:2]
    height, width = scaled_size(height, width, longest)
    size = max(height, 2), max(width, 2)  # which videos can hold
    named = [draw_label(resized(p, size), name, (6, 6), size=13) for name, p in pictures.items()]
    return np.concatenate(named, 1)
