"""Losses of colorization: of colours and of classes. Pure functions, one value per example.

Iizuka et al. 2016, section 3.4. The paper writes a sum of squares; here, as in the authors'
framework, both are means: of the squares over channels and positions, in units in which colours
are from 0 to 1 (see `spaces`), and of the cross-entropy, in nats, over examples. `ALPHA` belongs to
these. A learner takes the mean over all examples of a batch, those without a label among them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

ALPHA = 1 / 300
"""What the classes count over the colours."""
NO_LABEL = -1
"""Label of an example that has none."""


def color_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of colours.

    Args:
        predicted: (B, C, h, w), of the network.
        target: (B, C, H, W), of `spaces.split`; H and W multiples of h and w, to which it is
            brought by averaging areas.

    Returns:
        (B,), float32, the mean over all C·h·w.

    Raises:
        ValueError: the shapes do not fit.
    """
    (height, width), (target_height, target_width) = predicted.shape[-2:], target.shape[-2:]
    if predicted.shape[:2] != target.shape[:2] or target_height % height or target_width % width:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)}: want (B, C, h, "
            "w) and (B, C, H, W), H and W multiples of h and w"
        )
    areas = F.avg_pool2d(target.float(), (target_height // height, target_width // width))
    return (predicted.float() - areas).square().mean((1, 2, 3))


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of classes.

    Args:
        logits: (B, num_classes).
        labels: int64 (B,), 0 to num_classes - 1, or `NO_LABEL`.

    Returns:
        (B,), float32, in nats; 0 where there is no label.
    """
    return F.cross_entropy(logits.float(), labels, ignore_index=NO_LABEL, reduction="none")


def total(colors: Tensor, classes: Tensor | None, alpha: float = ALPHA) -> Tensor:
    """The loss that is minimised.

    Args:
        colors: (B,), of `color_loss`.
        classes: (B,), of `class_loss`; None without a classifier.
        alpha: what the classes count.

    Returns:
        (B,).
    """
    return colors if classes is None else colors + alpha * classes
