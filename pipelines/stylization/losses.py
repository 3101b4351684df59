"""Losses of video stylization: content, style, temporal. Pure functions of tensors.

Gatys et al. 2016, *Image Style Transfer Using Convolutional Neural Networks*, and Ruder et al.
2016, *Artistic Style Transfer for Videos* (arXiv:1604.08610), sections 3 and 4, with the reductions
of the authors' code (means, where the papers write sums): the weights 1 : 20 : 200 belong to these.

Shapes: `*` any leading dimensions, one value each; C channels, H rows, W columns. Pictures are in
0..255 (a mean that is subtracted from them changes nothing here), features in the units of a
network that takes such pictures. Features of lower precision are taken to float32 first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from kornia.losses import total_variation
from torch import Tensor


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of features: (*, C, H, W) twice to (*)."""
    _check_same("features", features, "target", target)
    return (features.float() - target.float()).square().mean((-3, -2, -1))


def gram(features: Tensor, weight: Tensor | None = None) -> Tensor:
    """Correlations of channels, summed over positions and divided by C·H·W.

    Args:
        features: (*, C, H, W).
        weight: (H, W), at least 0: how much each position counts; the divisor is then C times the
            sum of the weights, so that weights of 1 change nothing.

    Returns:
        (*, C, C), float32.
    """
    return gram_sum(features, weight) / gram_divisor(features, weight)


def gram_sum(features: Tensor, weight: Tensor | None = None) -> Tensor:
    """`gram` before its division: sums over parts of a picture add up to that of the whole."""
    flat = features.float().flatten(-2)
    if weight is None:
        return flat @ flat.mT
    if weight.shape != features.shape[-2:]:
        raise ValueError(f"weight {tuple(weight.shape)}: want {tuple(features.shape[-2:])}")
    return (flat * weight.flatten()) @ flat.mT


def gram_divisor(features: Tensor, weight: Tensor | None = None) -> Tensor:
    """What `gram` divides by, a scalar; one where nothing has a weight."""
    channels, height, width = features.shape[-3:]
    if weight is None:
        return torch.tensor(float(channels * height * width), device=features.device)
    return (channels * weight.sum()).clamp_min(1.0)


def style_loss(gram: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of Gram matrices over their C² entries: (*, C, C) twice to (*)."""
    _check_same("gram", gram, "target", target)
    return (gram - target).square().mean((-2, -1))


def temporal_loss(image: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
    """How far a picture is from an earlier one that was brought along the flow (equation 7).

    Args:
        image: (*, C, H, W).
        warped: the same shape, the earlier result warped to this frame.
        mask: (*, H, W) in 0..1, how much it holds there; of fewer leading dimensions, for all.

    Returns:
        (*), the mean over all C·H·W of mask · difference², positions of mask 0 among them.
    """
    _check_same("image", image, "warped", warped)
    if mask.shape[-2:] != image.shape[-2:]:
        raise ValueError(f"mask {tuple(mask.shape)}: want (*, H, W) of {tuple(image.shape)}")
    return (mask.unsqueeze(-3) * (image - warped).square()).mean((-3, -2, -1))


def long_term_weights(masks: Sequence[Tensor]) -> list[Tensor]:
    """What each earlier frame counts where nearer ones do not see a place already (section 4.2).

    Args:
        masks: one for each span j of J, the nearest first, (*, H, W) in 0..1.

    Returns:
        For each the larger of 0 and its mask less the sum of those of nearer frames. (The authors'
        code subtracts clipped weights one after another, which differs for soft masks.)
    """
    return [
        (mask - sum(masks[:index], torch.zeros_like(mask))).clamp_min(0)
        for index, mask in enumerate(masks)
    ]


def total_variation_loss(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, along rows and along columns, added: (*, C, H, W) to
    (*). An option of Johnson's code, not of the papers."""
    return total_variation(image, reduction="mean").mean(-1)


def _check_same(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    # Broadcasting would make a mean over something else.
    if value.shape != other.shape:
        raise ValueError(
            f"{name} {tuple(value.shape)} and {other_name} {tuple(other.shape)}: want equal shapes"
        )
