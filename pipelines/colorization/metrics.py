"""How good colours are. Pure functions, one value per picture.

Pictures are (B, 3, H, W), RGB from 0 to 1, floating point; all is computed in float32 or finer.
"""

from __future__ import annotations

import torch
from kornia import metrics
from torch import Tensor

from pipelines.colorization.losses import NO_LABEL
from pipelines.colorization.spaces import AB_RANGE, split

_WINDOW = 11  # of SSIM (Wang et al. 2004): a Gaussian of deviation 1.5


def ab_mse(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference in units of a* and b*, over both and all pixels.

    Returns:
        (B,), 0 or more.

    Raises:
        ValueError: the shapes are not those of pictures, or differ.
    """
    _check_same(predicted, truth)
    difference = split(predicted, "lab")[1] - split(truth, "lab")[1]
    return (AB_RANGE * difference).square().mean((1, 2, 3))


def psnr(predicted: Tensor, truth: Tensor) -> Tensor:
    """Peak signal to noise ratio over the three colours and all pixels.

    Returns:
        (B,), in decibels; infinite where both are the same.

    Raises:
        ValueError: the shapes are not those of pictures, or differ.
    """
    _check_same(predicted, truth)
    # One by one: of a batch, kornia's would be that of the mean error.
    pairs = zip(predicted.float(), truth.float(), strict=True)
    return torch.stack([metrics.psnr(one, other, 1.0) for one, other in pairs])


def ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), the mean over the three colours and all pixels
    whose window of 11 x 11 lies in the picture.

    Returns:
        (B,), 1 where both are the same, at most.

    Raises:
        ValueError: the shapes are not those of pictures of at least 11 x 11, or differ.
    """
    _check_same(predicted, truth)
    height, width = truth.shape[2:]
    if min(height, width) < _WINDOW:
        raise ValueError(f"pictures of {width} x {height}: SSIM needs {_WINDOW} x {_WINDOW}")
    similar = metrics.ssim(predicted.float(), truth.float(), _WINDOW, padding="valid")
    return similar.mean((1, 2, 3))


def colorfulness(rgb: Tensor) -> Tensor:
    """M(3) of Hasler & Süsstrunk 2003: about 0 for none, 15 slightly, 33 moderately, 59 quite, 109
    extremely colourful.

    With rg = R - G and yb = (R + G) / 2 - B of colours from 0 to 255, as they are (some code takes
    their absolute values): the root of the sum of their variances, and 0.3 times the length of
    their means.

    Args:
        rgb: (B, 3, H, W), 0 to 1.

    Returns:
        (B,), 0 or more.
    """
    red, green, blue = (255 * rgb.float()).flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1)
    deviations = opponents.std(dim=2, correction=0)
    return deviations.norm(dim=1) + 0.3 * opponents.mean(dim=2).norm(dim=1)


def top_k(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether the right class is among the k likeliest.

    Args:
        logits: (B, num_classes).
        labels: int64 (B,), 0 to num_classes - 1, or -1: none.
        k: 1 or more; of fewer classes than k, all are.

    Returns:
        (B,), float32, 1 or 0; not a number where there is no label.
    """
    found = logits.topk(min(k, logits.shape[1]), dim=1).indices
    hits = (found == labels[:, None]).any(dim=1).float()
    return hits.where(labels != NO_LABEL, float("nan"))


def _check_same(predicted: Tensor, truth: Tensor) -> None:
    if predicted.shape != truth.shape or truth.ndim != 4 or truth.shape[1] != 3:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and truth {tuple(truth.shape)}: want equal shapes "
            "of (B, 3, H, W)"
        )
