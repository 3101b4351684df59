"""Pictures moved along a flow.

Shapes: B batch, C channels, H height, W width. A flow (2, H, W) holds (dx, dy) in pixels: of frame
a to frame b, it lives on a's grid and says that a(p) is seen again at b(p + flow(p)).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """A picture sampled where a flow points: `image(p + flow(p))` at every p.

    To bring frame a onto the grid of frame b, take the flow of b to a.

    Args:
        image: (*, C, H, W) floating point, any range.
        flow: (2, H, W) for all of them, or (*, 2, H, W) one each; finite, in pixels.

    Returns:
        Of the shape and dtype of `image`; bilinear, computed in float32 or finer; the frame's
        border is repeated outside.

    Raises:
        ValueError: the shapes do not fit, or `image` is not floating point.
    """
    check_flow("flow", flow)
    if image.dim() < 3 or image.shape[-2:] != flow.shape[-2:]:
        raise ValueError(
            f"image has shape {tuple(image.shape)}: needs (*, C, H, W) of the flow's size, "
            f"{tuple(flow.shape[-2:])}"
        )
    if not image.is_floating_point():
        raise ValueError(f"image is {image.dtype}: needs floating point")
    if flow.dim() > 3 and flow.shape[:-3] != image.shape[:-3]:
        raise ValueError(
            f"flow has shape {tuple(flow.shape)}: needs (2, H, W), or one flow for each picture "
            f"of {tuple(image.shape)}"
        )
    # One flow for all: they are so many channels of one picture, with one grid.
    num_flows = flow.shape[:-3].numel()
    dtype = torch.promote_types(image.dtype, torch.float32)
    flat = image.to(dtype).reshape(num_flows, -1, *image.shape[-2:])
    grid = _grid(flow.to(dtype).reshape(num_flows, *flow.shape[-3:]))
    warped = grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return warped.reshape(image.shape).to(image.dtype)


def inside(flow: Tensor) -> Tensor:
    """Where a flow points into the frame, its border included.

    Args:
        flow: (*, 2, H, W) in pixels.

    Returns:
        (*, H, W) bool; False where the flow is not a number.
    """
    check_flow("flow", flow)
    height, width = flow.shape[-2:]
    x, y = _targets(flow)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def check_flow(name: str, flow: Tensor) -> None:
    """Raises ValueError unless a tensor has the shape (*, 2, H, W), H and W at least 1."""
    if flow.dim() < 3 or flow.shape[-3] != 2 or 0 in flow.shape[-2:]:
        raise ValueError(f"{name} has shape {tuple(flow.shape)}: needs (2, H, W)")


def _targets(flow: Tensor) -> tuple[Tensor, Tensor]:
    """The columns and rows, each (*, H, W), that a flow points to."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device)
    y = torch.arange(height, device=flow.device).unsqueeze(1)
    return flow[..., 0, :, :] + x, flow[..., 1, :, :] + y


def _grid(flow: Tensor) -> Tensor:
    """What `grid_sample` wants: (B, H, W, 2), from -1 at the first pixel to 1 at the last."""
    height, width = flow.shape[-2:]
    x, y = _targets(flow)
    return torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=-1)
