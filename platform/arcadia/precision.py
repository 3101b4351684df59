"""In which arithmetic networks are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def dtype_on(device: torch.device, precision: Precision = "auto") -> torch.dtype:
    """The arithmetic on a device; auto is the fast one of a GPU, and float32 on a CPU."""
    import torch

    if precision != "auto":
        return getattr(torch, precision)
    if device.type != "cuda":
        return torch.float32  # CPUs without matrix units are a hundred times slower in bfloat16
    is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_fast else torch.float16
