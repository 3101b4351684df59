"""Keeping the source's colours."""

from __future__ import annotations

import numpy as np
import torch
from kornia.color import rgb_to_yuv, yuv_to_rgb


def with_colors_of(painted_hwc: np.ndarray, source_hwc: np.ndarray) -> np.ndarray:
    """The lightness of one picture with the colours of another (Gatys et al. 2016, *Preserving
    Color in Neural Artistic Style Transfer*, luminance transfer).

    Args:
        painted_hwc: uint8 (H, W, 3) RGB, gives Y.
        source_hwc: the same shape, gives U and V.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    painted, source = (
        rgb_to_yuv(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255)
        for image in (painted_hwc, source_hwc)
    )
    joined = yuv_to_rgb(torch.cat([painted[:1], source[1:]]))
    joined = (joined.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(joined.permute(1, 2, 0).numpy())
