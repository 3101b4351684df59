"""RAFT (Teed and Deng 2020) by way of torchvision, where that is installed.

Written after torchvision's documentation and not yet run: Arcadia does not depend on torchvision,
and where it is built and tested there is none.
"""

from __future__ import annotations

import functools
import importlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from arcadia.errors import UserError
from arcadia.workers import own_device

if TYPE_CHECKING:
    from torch import Tensor

_MULTIPLE_PX = 8
# The least of torchvision's weights: at an eighth, its pyramid halves four times.
_LEAST_PX = 128

# The network keeps the pyramid of the pair at hand in itself.
_one_at_a_time = threading.Lock()


def raft_flow(a_hwc: np.ndarray, b_hwc: np.ndarray, *, small: bool = False) -> np.ndarray:
    """RAFT's flow of frame a to frame b, on a GPU where there is one.

    Args:
        a_hwc: uint8 (H, W, 3) RGB; continued to a multiple of 8 px, and to 128, by repeating its
            border.
        b_hwc: likewise, of the same size.
        small: the network of a fifth of the weights.

    Returns:
        float32 (2, H, W), (dx, dy) in pixels on a's grid.

    Raises:
        UserError: torchvision is not installed, or its weights cannot be fetched.
    """
    import torch

    with _one_at_a_time:
        model, transforms = _raft(small)
        device = next(model.parameters()).device
        a, b = transforms(_padded(a_hwc), _padded(b_hwc))
        with torch.no_grad():
            flow = model(a.to(device), b.to(device))[-1][0]
    height, width = a_hwc.shape[:2]
    return np.ascontiguousarray(flow[:, :height, :width].float().cpu().numpy())


@functools.cache
def _raft(small: bool) -> tuple[Any, Any]:
    """The network and what prepares its pictures."""
    import torch

    try:
        torchvision = importlib.import_module("torchvision.models.optical_flow")
    except ImportError as error:
        raise UserError(
            "flow method raft: needs torchvision, which is not installed; install the torchvision "
            f"made for torch {torch.__version__}, or take the method dis_fine"
        ) from error
    if small:
        model, weights = torchvision.raft_small(), torchvision.Raft_Small_Weights.DEFAULT
    else:
        model, weights = torchvision.raft_large(), torchvision.Raft_Large_Weights.DEFAULT
    try:
        # Not weights.get_state_dict(): that would unpickle.
        state = torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # not to be reached; a checksum that differs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"flow method raft: cannot fetch {weights.url}: {reason}; put the file into "
            f"{torch.hub.get_dir()}/checkpoints, or take the method dis_fine"
        ) from error
    model.load_state_dict(state)
    return model.eval().requires_grad_(False).to(own_device()), weights.transforms()


def _padded(image_hwc: np.ndarray) -> Tensor:
    """uint8 (1, 3, H', W'), H' and W' multiples of 8 and at least 128."""
    import torch

    missing = [
        max(_LEAST_PX, -(-size // _MULTIPLE_PX) * _MULTIPLE_PX) - size
        for size in image_hwc.shape[:2]
    ]
    padded = np.pad(image_hwc, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    return torch.from_numpy(padded).permute(2, 0, 1).unsqueeze(0)
