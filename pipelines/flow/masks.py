"""Where the past can be trusted: the masks of Ruder et al. 2016, section 4.3.

Both tests go back to Sundaram et al. 2010, with the constants that the paper gives.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from pipelines.flow.warping import check_flow, inside, warp

Array = TypeVar("Array", np.ndarray, Tensor)

# Equation 5: |w~ + w^|^2 > 0.01 (|w~|^2 + |w^|^2) + 0.5.
_DISOCCLUDED = 0.01, 0.5
# Equation 6: |grad u|^2 + |grad v|^2 > 0.01 |w^|^2 + 0.002.
_BOUNDARY = 0.01, 0.002
# Of the authors' code: a Gaussian of five taps.
_SOFTENING_SIGMA, _SOFTENING_RADIUS = 0.8, 2


def consistency_mask(
    flow_forward: Array,
    flow_backward: Array,
    *,
    soften: bool = False,
    motion_boundaries: bool = True,
) -> Array:
    """The mask of the later of two frames: 1 where the earlier one shows the same point.

    0 where that point was hidden (the forward flow does not lead back), at the boundaries of
    motion (steep places of the backward flow), where the flow leaves the frame, and where either
    flow is not a number.

    The authors' code also rejects what points into the last row or column; here the whole frame
    counts. Their comparison is `>=`, the paper's and ours `>`.

    Args:
        flow_forward: (2, H, W) floating point, (dx, dy) in pixels, of the earlier frame to the
            later, on the earlier one's grid.
        flow_backward: (2, H, W), of the later frame to the earlier, on the later one's grid.
        soften: blurs the mask as the authors' code does. What was hidden counts as -1 in the blur,
            the other zeros as 0, and the result is cut to 0..1: so holes grow outwards, and the
            edges of the rest become soft.
        motion_boundaries: whether these are 0; the paper of 2018 keeps them.

    Returns:
        (H, W) float32 in 0..1, a NumPy array or a tensor as the flows are, on their device.

    Raises:
        ValueError: the shapes do not fit, or one is an array and the other a tensor.
    """
    if isinstance(flow_forward, np.ndarray) and isinstance(flow_backward, np.ndarray):
        forward, backward = (
            torch.tensor(np.ascontiguousarray(flow, np.float32))
            for flow in (flow_forward, flow_backward)
        )
        return _mask(forward, backward, soften, motion_boundaries).numpy()
    if isinstance(flow_forward, Tensor) and isinstance(flow_backward, Tensor):
        return _mask(flow_forward.float(), flow_backward.float(), soften, motion_boundaries)
    raise ValueError(
        "flow_forward and flow_backward: need two NumPy arrays or two tensors, got "
        f"{type(flow_forward).__name__} and {type(flow_backward).__name__}"
    )


@torch.no_grad()
def _mask(forward: Tensor, backward: Tensor, soften: bool, motion_boundaries: bool) -> Tensor:
    for name, flow in (("flow_forward", forward), ("flow_backward", backward)):
        check_flow(name, flow)
        if flow.dim() != 3:
            raise ValueError(f"{name} has shape {tuple(flow.shape)}: needs (2, H, W)")
    if forward.shape != backward.shape:
        raise ValueError(
            f"flow_forward and flow_backward have shapes {tuple(forward.shape)} and "
            f"{tuple(backward.shape)}: need the same"
        )
    there = warp(forward, backward.nan_to_num())
    # Written with <=, so that what is not a number is not trusted.
    factor, least = _DISOCCLUDED
    seen = _squared(there + backward) <= factor * (_squared(there) + _squared(backward)) + least
    trust = torch.where(seen, 1.0, -1.0)
    if motion_boundaries:
        factor, least = _BOUNDARY
        smooth = _steepness(backward) <= factor * _squared(backward) + least
        trust = torch.where(seen & ~smooth, 0.0, trust)
    trust = torch.where(inside(backward), trust, 0.0)
    return (_blurred(trust) if soften else trust).clamp(0, 1)


def _squared(flow: Tensor) -> Tensor:
    return flow.square().sum(dim=0)


def _steepness(flow: Tensor) -> Tensor:
    """|grad u|^2 + |grad v|^2, (H, W), by central differences, the border repeated."""
    wide = pad(flow.unsqueeze(0), (1, 1, 1, 1), mode="replicate").squeeze(0)
    along_x = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2
    along_y = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
    return _squared(along_x) + _squared(along_y)


def _blurred(trust: Tensor) -> Tensor:
    """(H, W), mirrored at the border with the edge repeated, as in the authors' filter."""
    taps = torch.arange(-_SOFTENING_RADIUS, _SOFTENING_RADIUS + 1, device=trust.device)
    weights = (-0.5 * (taps / _SOFTENING_SIGMA).square()).exp()
    weights = weights / weights.sum()
    for dim in (0, 1):
        size = trust.shape[dim]
        position = torch.arange(size, device=trust.device).unsqueeze(1) + taps
        position = position % (2 * size)
        position = torch.minimum(position, 2 * size - 1 - position)
        # (H, 5, W) and (H, W, 5): the taps stand behind their own dimension.
        around = trust.index_select(dim, position.flatten()).unflatten(dim, position.shape)
        shape = [-1 if axis == dim + 1 else 1 for axis in range(3)]
        trust = (around * weights.reshape(shape)).sum(dim=dim + 1)
    return trust
