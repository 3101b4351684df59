"""Metrics against numbers worked out by hand, and against OpenCV's."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.colorization.metrics import ab_mse, colorfulness, psnr, ssim, top_k


def flat(*color: float, size: int = 16) -> Tensor:
    return torch.tensor(color, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, size, size)


def test_ab_mse_is_in_units_of_a_and_b():
    red, grey = flat(1, 0, 0), flat(0.4, 0.4, 0.4)
    assert float(ab_mse(red, grey)) == pytest.approx((80.09**2 + 67.20**2) / 2, rel=1e-3)
    # Lightness does not count.
    assert float(ab_mse(flat(0.9, 0.9, 0.9), grey)) == pytest.approx(0, abs=1e-3)
    both = ab_mse(torch.cat([red, red]), torch.cat([grey, red]))
    assert both.shape == (2,) and float(both[1]) == 0 and float(both[0]) > 5000


def test_psnr_is_of_each_picture():
    truth = flat(0.5, 0.5, 0.5)
    pictures = torch.cat([truth + 0.1, truth + 0.01, truth, flat(0.5, 0.5, 0.8)])
    found = psnr(pictures, truth.expand(4, -1, -1, -1))
    wanted = [20, 40, math.inf, -10 * math.log10(0.09 / 3)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    coarse = (255 * torch.rand(1, 3, 20, 20)).byte()
    other = (255 * torch.rand(1, 3, 20, 20)).byte()
    assert float(psnr(coarse / 255, other / 255)) == pytest.approx(
        cv2.PSNR(coarse.numpy(), other.numpy()), rel=1e-5
    )


def test_ssim_of_flat_pictures_is_that_of_their_means():
    found = ssim(
        torch.cat([flat(0.5, 0.5, 0.5), flat(1, 1, 1)]), flat(1, 1, 1).expand(2, 3, -1, -1)
    )
    c1 = 0.01**2
    assert found.tolist() == pytest.approx([(2 * 0.5 + c1) / (0.25 + 1 + c1), 1], rel=1e-4)


def test_ssim_of_a_negative_is_below_zero_and_of_noise_about_that():
    rgb = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert float(ssim(rgb, rgb)) == pytest.approx(1)
    assert float(ssim(1 - rgb, rgb)) < -0.8
    assert abs(float(ssim(rgb.flip(3), rgb))) < 0.1
    with pytest.raises(ValueError, match="pictures of 48 x 10: SSIM needs 11 x 11"):
        ssim(rgb[:, :, :10], rgb[:, :, :10])


def test_colorfulness_is_hasler_and_suesstrunks():
    # rg: 255 and 0, yb: 127.5 and -255.
    rgb = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).view(1, 3, 1, 2)
    deviation = math.hypot(127.5, 191.25)
    mean = math.hypot(127.5, -63.75)
    assert float(colorfulness(rgb)) == pytest.approx(deviation + 0.3 * mean, rel=1e-5)
    # Red and cyan: their absolute values would not differ in rg.
    opposed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).view(1, 3, 1, 2)
    assert float(colorfulness(opposed)) == pytest.approx(
        math.hypot(255, 127.5) + 0.3 * math.hypot(0, 0), rel=1e-5
    )
    assert float(colorfulness(flat(0.7, 0.7, 0.7))) == pytest.approx(0, abs=1e-4)


def test_photographs_are_ordered_by_their_colour(test_data: Path):
    from arcadia.media import read_image

    rgb = read_image(test_data / "photos" / "animals" / "chameleon.webp")
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    grey = picture.mean(1, keepdim=True)
    half = grey + 0.5 * (picture - grey)
    full, halved, none = colorfulness(torch.cat([picture, half, grey.expand_as(picture)])).tolist()
    assert halved == pytest.approx(full / 2, rel=1e-4) and none == pytest.approx(0, abs=1e-3)
    red, green, blue = np.moveaxis(rgb.astype(np.float64), 2, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    wanted = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert full == pytest.approx(wanted, rel=1e-4)


def test_top_k_counts_the_likeliest_and_leaves_out_what_has_no_label():
    logits = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.3, 0.2, 0.1], [0.0, 0.0, 1.0]])
    labels = torch.tensor([1, 2, 2, -1])
    for k, wanted in [(1, [1, 0, 0]), (2, [1, 1, 0]), (5, [1, 1, 1])]:
        found = top_k(logits, labels, k)
        assert found[:3].tolist() == wanted and math.isnan(found[3])


@pytest.mark.parametrize("metric", [ab_mse, psnr, ssim])
def test_pictures_of_other_shapes_are_refused(metric: object):
    assert callable(metric)
    with pytest.raises(ValueError, match="want equal shapes"):
        metric(torch.rand(2, 3, 16, 16), torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="want equal shapes"):
        metric(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16))
