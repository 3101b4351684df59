"""Pictures taken apart into lightness and colour, and joined again. Differentiable, on the device.

Pictures are (B, 3, H, W), RGB (sRGB, as in files) from 0 to 1. What is in between, for each space:

| space | lightness                   | colour, 0.5 where there is none                |
|-------|-----------------------------|------------------------------------------------|
| lab   | L* / 100 (D65)              | a*, b* / 220 + 0.5                             |
| yuv   | Y of BT.470                 | U / 0.872 + 0.5, V / 1.23 + 0.5                |
| rgb   | Y of BT.470                 | R, G, B themselves                             |

In lab, -110 to 110 becomes 0 to 1: a*, b* of sRGB are from -86.2 to 98.3 and -107.9 to 94.5, so
that nothing is cut off, and one unit counts as much in a* as in b*. (The authors' code has 200 for
220, which cuts the deepest blues off; 1 / 300 for the classifier belongs to about this scale.) In
yuv each is stretched to the whole of 0 to 1.

Everything is computed in float32 or finer, under autocast too.
"""

from __future__ import annotations

from typing import get_args

import torch
from kornia.color import (
    linear_rgb_to_rgb,
    rgb_to_lab,
    rgb_to_yuv,
    xyz_to_rgb,
    yuv_to_rgb,
)
from torch import Tensor

from arcadia.errors import UserError, did_you_mean
from pipelines.colorization.config import ColorSpace

AB_RANGE = 220.0
"""Units of a* and b* that become 1 in a colour of "lab"."""
UV_RANGE = (0.872, 1.23)
"""Units of U and V that become 1 in a colour of "yuv"."""
_WHITE = (0.95047, 1.0, 1.08883)  # X, Y, Z of D65, as in kornia
_SLOPE = 7.787  # of the cube root's beginning, which is straight


def num_colors(space: ColorSpace) -> int:
    """Channels of a colour: 3 in "rgb", 2 in the others."""
    return 3 if space == "rgb" else 2


def split(rgb: Tensor, space: ColorSpace) -> tuple[Tensor, Tensor]:
    """Lightness and colour of pictures.

    Args:
        rgb: (B, 3, H, W) floating point, 0 to 1.
        space: see the table above.

    Returns:
        Lightness (B, 1, H, W) and colour (B, 2 or 3, H, W), 0 to 1, float32 or float64.

    Raises:
        ValueError: another shape or dtype.
        UserError: the space is unknown.
    """
    _check("rgb", rgb, 3)
    _check_space(space)
    with _without_autocast(rgb):
        rgb = _at_least_float32(rgb)
        if space == "lab":
            lab = rgb_to_lab(rgb)
            return lab[:, :1] / 100, lab[:, 1:] / AB_RANGE + 0.5
        yuv = rgb_to_yuv(rgb)
        if space == "rgb":
            return yuv[:, :1], rgb
        return yuv[:, :1], yuv[:, 1:] / _uv_range(yuv) + 0.5


def join(lightness: Tensor, color: Tensor, space: ColorSpace) -> Tensor:
    """Pictures of a lightness and a colour.

    The lightness is kept: where no such colour of that lightness is in RGB, the colour is paled
    until one is, along a line that keeps L* (Y in yuv and rgb). In rgb the colour brings a Y of its
    own, whose difference to the lightness is first added to all three.

    Args:
        lightness: (B, 1, H, W) floating point, 0 to 1.
        color: (B, 2 or 3, H, W) of the same size, as `split` gives it.
        space: what they were split in.

    Returns:
        (B, 3, H, W) RGB, 0 to 1, float32 or float64.

    Raises:
        ValueError: other shapes or dtypes.
        UserError: the space is unknown.
    """
    _check_space(space)
    _check("lightness", lightness, 1)
    _check("color", color, num_colors(space))
    if lightness.shape[::2] != color.shape[::2] or lightness.shape[3] != color.shape[3]:
        raise ValueError(
            f"lightness {tuple(lightness.shape)} and color {tuple(color.shape)}: want equal sizes"
        )
    with _without_autocast(color):
        lightness, color = _at_least_float32(lightness), _at_least_float32(color)
        if space == "lab":
            linear, luminance = _linear_of_lab(lightness, AB_RANGE * (color - 0.5))
            return linear_rgb_to_rgb(_paled(linear, luminance)).clamp(0, 1)
        if space == "rgb":
            moved = color + (lightness - rgb_to_yuv(color)[:, :1])
            return _paled(moved, lightness)
        chrominance = (color - 0.5) * _uv_range(color)
        return _paled(yuv_to_rgb(torch.cat([lightness, chrominance], dim=1)), lightness)


def _linear_of_lab(lightness: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """Linear RGB (B, 3, H, W), which may lie outside of 0 to 1, and its luminance Y (B, 1, H, W).

    kornia's `lab_to_rgb` goes on to sRGB, and the way back from there takes as long as all of this.
    """
    y = (100 * lightness + 16) / 116
    a, b = ab.split(1, dim=1)
    root = torch.cat([y + a / 500, y, (y - b / 200).clamp_min(0)], dim=1)
    xyz = torch.where(root > 6 / 29, root * root * root, (root - 4 / 29) / _SLOPE)
    white = xyz.new_tensor(_WHITE).view(1, 3, 1, 1)
    return xyz_to_rgb(xyz * white), xyz[:, 1:2]


def _paled(rgb: Tensor, grey: Tensor) -> Tensor:
    """`rgb` moved towards `grey` (B, 1, H, W) as far as 0 to 1 demands."""
    grey = grey.clamp(0, 1)
    difference = rgb - grey
    above, below = rgb > 1, rgb < 0
    # Where nothing is divided: ones, as a quotient by 0 has no gradient.
    divisor = torch.where(above | below, difference, 1.0)
    kept = torch.where(above, (1 - grey) / divisor, torch.where(below, -grey / divisor, 1.0))
    return (grey + kept.amin(dim=1, keepdim=True) * difference).clamp(0, 1)


def _uv_range(like: Tensor) -> Tensor:
    return like.new_tensor(UV_RANGE).view(1, 2, 1, 1)


def _without_autocast(like: Tensor) -> torch.autocast:
    # kornia's matrices are convolutions, which autocast would round to eight bits.
    return torch.autocast(like.device.type, enabled=False)


def _at_least_float32(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _check_space(space: ColorSpace) -> None:
    spaces = get_args(ColorSpace)
    if space not in spaces:
        raise UserError(
            f'colorspace "{space}": must be {", ".join(spaces)}{did_you_mean(space, spaces)}'
        )


def _check(name: str, value: Tensor, channels: int) -> None:
    if value.ndim != 4 or value.shape[1] != channels or not value.is_floating_point():
        raise ValueError(
            f"{name} is {value.dtype} {tuple(value.shape)}: needs floats of (B, {channels}, H, W)"
        )
