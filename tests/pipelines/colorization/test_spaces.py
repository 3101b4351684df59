"""Colour spaces: known colours, round trips, and lightness that is kept."""

from __future__ import annotations

from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from arcadia.errors import UserError
from pipelines.colorization.config import ColorSpace
from pipelines.colorization.spaces import join, num_colors, split

SPACES = get_args(ColorSpace)


def picture(*colors: tuple[float, float, float]) -> Tensor:
    """(1, 3, 1, W) of so many pixels."""
    return torch.tensor(colors).T[None, :, None, :]


def noise(seed: int = 0, channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 40, 24, generator=torch.Generator().manual_seed(seed))


# L*, a*, b* under D65, as published for the primaries of sRGB (Lindbloom's calculator).
LAB = {
    (1, 1, 1): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (1, 0, 0): (53.24, 80.09, 67.20),
    (0, 1, 0): (87.73, -86.18, 83.18),
    (0, 0, 1): (32.30, 79.19, -107.86),
    (1, 1, 0): (97.14, -21.55, 94.48),
    (0, 1, 1): (91.11, -48.09, -14.13),
    (1, 0, 1): (60.32, 98.23, -60.82),
    (119 / 255, 119 / 255, 119 / 255): (50.03, 0, 0),
}
# Y, U, V by hand, of BT.470's rounded coefficients.
YUV = {
    (1, 1, 1): (1, 0, 0),
    (1, 0, 0): (0.299, -0.147, 0.615),
    (0, 1, 0): (0.587, -0.289, -0.515),
    (0, 0, 1): (0.114, 0.436, -0.100),
    (0.5, 0.5, 0): (0.443, -0.218, 0.05),
}


def test_known_colours_have_their_lab():
    lightness, color = split(picture(*LAB), "lab")
    found = torch.cat([100 * lightness, 220 * (color - 0.5)], dim=1)[0, :, 0].T
    torch.testing.assert_close(found, torch.tensor(list(LAB.values())).float(), atol=0.05, rtol=0)


@pytest.mark.parametrize("space", ["yuv", "rgb"])
def test_known_colours_have_their_luma_and_chrominance(space: Any):
    lightness, color = split(picture(*YUV), space)
    wanted = torch.tensor(list(YUV.values()))
    torch.testing.assert_close(lightness[0, 0, 0], wanted[:, 0])
    if space == "yuv":
        found = (color[0, :, 0].T - 0.5) * torch.tensor([2 * 0.436, 2 * 0.615])
        torch.testing.assert_close(found, wanted[:, 1:], atol=1e-6, rtol=0)
    else:
        assert torch.equal(color, picture(*YUV))


def test_lab_is_that_of_opencv_but_for_its_tables():
    rgb = noise()
    lightness, color = split(rgb, "lab")
    ours = torch.cat([100 * lightness, 220 * (color - 0.5)], dim=1).permute(0, 2, 3, 1).numpy()
    for picture, lab in zip(rgb.permute(0, 2, 3, 1).numpy(), ours, strict=True):
        difference = np.abs(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2Lab) - lab)
        assert difference.max() < 0.5 and difference.mean() < 0.1


@pytest.mark.parametrize("space", SPACES)
def test_all_colours_of_rgb_stay_within_0_and_1(space: Any):
    steps = torch.linspace(0, 1, 33)
    cube = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")).reshape(1, 3, 33, -1)
    lightness, color = split(cube, space)
    assert color.shape[1] == num_colors(space)
    for part in (lightness, color):
        assert part.min() >= -1e-6 and part.max() <= 1 + 1e-6
    # ...and use most of it: half the range would halve the loss's share of the gradient.
    assert color.amax((0, 2, 3)).min() > 0.92 and color.amin((0, 2, 3)).max() < 0.11
    grey = split(torch.full((1, 3, 2, 2), 0.3), space)[1]
    torch.testing.assert_close(grey, torch.full_like(grey, 0.3 if space == "rgb" else 0.5))


@pytest.mark.parametrize("space", SPACES)
def test_what_is_split_is_joined_again(space: Any):
    for rgb in (noise(), picture(*LAB)):
        torch.testing.assert_close(join(*split(rgb, space), space), rgb, atol=1e-4, rtol=0)
        assert join(*split(rgb.double(), space), space).dtype == torch.float64


@pytest.mark.parametrize("space", SPACES)
def test_any_colour_is_joined_to_the_lightness_given(space: Any):
    lightness = split(noise(), space)[0]
    lightness[0, 0, 0, :2] = torch.tensor([0.0, 1.0])  # black and white have no colour at all
    rgb = join(lightness, noise(1, num_colors(space)), space)
    assert rgb.min() >= 0 and rgb.max() <= 1
    torch.testing.assert_close(split(rgb, space)[0], lightness, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        rgb[0, :, 0, :2], torch.tensor([[0.0, 1.0]]).repeat(3, 1), atol=1e-5, rtol=0
    )


def test_a_colour_is_paled_no_more_than_it_must_be():
    lightness = torch.full((1, 1, 1, 3), 0.5)
    chrominance = torch.tensor([[0.0, 0.3, 1.0], [0.0, 0.0, 0.0]])[None, :, None] * 0.5 + 0.5
    rgb = join(lightness, chrominance, "yuv")
    lightness_again, color = split(rgb, "yuv")
    torch.testing.assert_close(lightness_again, lightness)
    torch.testing.assert_close(color[..., :2], chrominance[..., :2])
    # The last has too much blue: as much is left as blue has room for.
    assert float(rgb[0, 2, 0, 2]) == 1
    assert 0.5 < float(color[0, 0, 0, 2]) < 1
    assert float(color[0, 1, 0, 2]) == pytest.approx(0.5, abs=1e-6)


def test_rgb_keeps_what_the_network_says_but_for_its_lightness():
    said = picture((0.4, 0.2, 0.3))
    rgb = join(torch.tensor(0.5).view(1, 1, 1, 1), said, "rgb")
    luma = 0.299 * 0.4 + 0.587 * 0.2 + 0.114 * 0.3
    torch.testing.assert_close(rgb, said + (0.5 - luma))


@pytest.mark.parametrize("space", SPACES)
def test_gradients_are_finite_and_the_slope(space: Any):
    rgb = torch.cat([picture(*LAB).double(), noise()[:1, :, :1].double()], dim=3).requires_grad_()
    lightness, color = split(rgb, space)
    (lightness.sum() + color.square().sum()).backward()
    assert rgb.grad is not None and rgb.grad.isfinite().all()

    def joined(lightness: Tensor, color: Tensor) -> Tensor:
        return join(lightness, color, space)

    lightness = (0.1 + 0.8 * noise(2, 1))[:1, :, :3, :4].double().requires_grad_()
    color = noise(3, num_colors(space))[:1, :, :3, :4].double().requires_grad_()
    assert torch.autograd.gradcheck(joined, (lightness, color))
    wild = torch.cat([lightness.new_zeros(1, 1, 1, 1), lightness.new_ones(1, 1, 1, 1)], dim=3)
    wild.requires_grad_()
    join(wild, color[..., :1, :2], space).sum().backward()
    assert wild.grad is not None and wild.grad.isfinite().all()


@pytest.mark.parametrize("space", SPACES)
def test_autocast_changes_nothing(space: Any):
    lightness, color = split(noise(), space)
    rgb = join(lightness, color, space)
    with torch.autocast("cpu", torch.bfloat16):
        again = split(noise(), space)
        assert torch.equal(again[0], lightness) and torch.equal(again[1], color)
        assert torch.equal(join(lightness, color, space), rgb)


def test_what_is_no_picture_is_refused():
    rgb = noise()
    with pytest.raises(ValueError, match=r"rgb is torch.uint8 \(2, 3, 40, 24\): needs floats"):
        split((255 * rgb).byte(), "lab")
    with pytest.raises(ValueError, match=r"needs floats of \(B, 3, H, W\)"):
        split(rgb[0], "lab")
    with pytest.raises(ValueError, match=r"color is torch\.float32"):
        join(rgb[:, :1], rgb, "lab")
    with pytest.raises(ValueError, match="want equal sizes"):
        join(rgb[:, :1, ::2], rgb[:, :2], "lab")
    with pytest.raises(UserError, match='colorspace "luv": must be lab, yuv, rgb'):
        split(rgb, "luv")  # pyright: ignore[reportArgumentType]
