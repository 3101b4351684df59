"""What a colorizer must beat: no colour at all, and the colour that is commonest."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from pipelines.colorization.spaces import join, split


def mean_color(batches: Iterable[np.ndarray]) -> tuple[float, float]:
    """The mean colour over all pixels of pictures, in "lab": a and b in 0..1, see `spaces`.

    Args:
        batches: uint8 (B, H, W, 3) RGB.
    """
    total, pixels = torch.zeros(2, dtype=torch.float64), 0
    for images in batches:
        rgb = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        color = split(rgb, "lab")[1]
        total += color.double().sum((0, 2, 3))
        pixels += color[:, 0].numel()
    return float(total[0] / pixels), float(total[1] / pixels)


def in_one_color(rgb: Tensor, color: tuple[float, float] = (0.5, 0.5)) -> Tensor:
    """Pictures with all their pixels in one colour, by default grey; their lightness is kept.

    Args:
        rgb: (B, 3, H, W), 0 to 1.
        color: a and b of "lab", 0 to 1.

    Returns:
        (B, 3, H, W), 0 to 1.
    """
    lightness, _ = split(rgb, "lab")
    batch, _, height, width = lightness.shape
    everywhere = lightness.new_tensor(color).view(1, 2, 1, 1).expand(batch, 2, height, width)
    return join(lightness, everywhere, "lab")
