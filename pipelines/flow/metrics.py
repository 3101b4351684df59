"""How far a video flickers, and how good flows and masks are, against a known motion.

Of two frames, `now` and `previous`, both warping errors take the motion that brings `previous` onto
the grid of `now`, with its mask: measure with one that the optimisation did not use. They are of
one pair; a video's error is the mean over its pairs. They are not comparable with each other. To
look at a region, give the motion a mask of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.flow.motions import Motion
from pipelines.flow.warping import warp


def warping_error_lai(
    now: np.ndarray | Tensor, previous: np.ndarray | Tensor, motion: Motion, *, max_value: float
) -> float:
    """E_warp of Lai et al. 2018, equation 9: the mean over the mask's pixels.

    `sum(mask * |now - warped|^2) / sum(mask)`, RGB in 0..1, squares summed over the channels. Their
    published code also divides by the three channels, so prints a third of this.

    Args:
        now: NumPy (H, W, 3) of any kind, or a floating tensor (3, H, W).
        previous: likewise, of the same size.
        motion: of `previous` to `now`.
        max_value: what stands for white, in both frames: 255, or 1.

    Returns:
        0 or more; not a number where the mask is 0 everywhere.

    Raises:
        ValueError: sizes differ, or `max_value` is not that of uint8.
    """
    difference, mask = _difference(now, previous, motion, max_value)
    return float((mask * difference.square().sum(dim=0)).sum() / mask.sum())


def warping_error_ruder(
    now: np.ndarray | Tensor, previous: np.ndarray | Tensor, motion: Motion, *, max_value: float
) -> float:
    """The short-term consistency error of Ruder et al. 2016, equation 7: the mean over all pixels.

    `mean(mask * (now - warped)^2)`, RGB in 0..1, over all pixels and channels: less for a mask
    that trusts less.

    Args:
        now: NumPy (H, W, 3) of any kind, or a floating tensor (3, H, W).
        previous: likewise, of the same size.
        motion: of `previous` to `now`.
        max_value: what stands for white, in both frames: 255, or 1.

    Returns:
        0 or more.

    Raises:
        ValueError: sizes differ, or `max_value` is not that of uint8.
    """
    difference, mask = _difference(now, previous, motion, max_value)
    return float((mask * difference.square()).mean())


def end_point_error(flow: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """The mean distance of a flow's ends from the true ones, in pixels.

    Args:
        flow: (2, H, W).
        truth: (2, H, W); pixels where it is not a number do not count.
        where: bool (H, W), the pixels that count; by default all.

    Returns:
        0 or more; not a number where no pixel counts.
    """
    counts = np.isfinite(truth).all(axis=0)
    if where is not None:
        counts &= where
    difference = (np.asarray(flow, np.float64) - truth)[:, counts]
    return float(np.hypot(*difference).mean()) if counts.any() else float("nan")


@dataclass(frozen=True, kw_only=True)
class MaskScore:
    """A mask against the pixels that are truly occluded."""

    found: float
    """Share of the occluded pixels that the mask does not trust (below 0.5)."""
    kept: float
    """Share of all other pixels that it trusts, those at the boundaries of motion included."""


def score_mask(mask: np.ndarray, occluded: np.ndarray) -> MaskScore:
    """Scores a mask, float (H, W) in 0..1, by the truth, bool (H, W)."""
    trusted = mask >= 0.5
    return MaskScore(
        found=float(np.mean(~trusted[occluded])) if occluded.any() else float("nan"),
        kept=float(np.mean(trusted[~occluded])) if not occluded.all() else float("nan"),
    )


@torch.no_grad()
def _difference(
    now: np.ndarray | Tensor, previous: np.ndarray | Tensor, motion: Motion, max_value: float
) -> tuple[Tensor, Tensor]:
    """`now` less the warped `previous`, float64 (3, H, W) in units of white; the mask (H, W)."""
    frames = [_channels_first(frame, max_value) for frame in (now, previous)]
    for name, frame in zip(("now", "previous"), frames, strict=True):
        if frame.shape != (3, *motion.mask.shape):
            raise ValueError(
                f"{name} has shape {tuple(frame.shape)}, channels first: needs "
                f"{(3, *motion.mask.shape)}, as the motion"
            )
    device = frames[0].device
    flow, mask = (torch.as_tensor(part, device=device) for part in (motion.flow, motion.mask))
    return (frames[0] - warp(frames[1].to(device), flow)) / max_value, mask.double()


def _channels_first(frame: np.ndarray | Tensor, max_value: float) -> Tensor:
    if frame.dtype in (np.uint8, torch.uint8) and max_value != 255:
        raise ValueError(f"max_value {max_value}: of uint8 it is 255")
    if isinstance(frame, Tensor):
        return frame.double()
    return torch.as_tensor(np.ascontiguousarray(frame, np.float64)).permute(2, 0, 1)
