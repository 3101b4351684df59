"""Optical flow and what follows from it: warping, masks of trust, motions ahead of time.

The names are loaded at first use, so that the command line can show its options without
importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.flow.flo import FlowFiles, read_flo, resize_flow, write_flo
    from pipelines.flow.masks import consistency_mask
    from pipelines.flow.methods import FlowMethod, estimate_flow
    from pipelines.flow.metrics import (
        MaskScore,
        end_point_error,
        score_mask,
        warping_error_lai,
        warping_error_ruder,
    )
    from pipelines.flow.motions import Motion, Motions
    from pipelines.flow.pictures import flow_picture
    from pipelines.flow.synthetic import MovingScene
    from pipelines.flow.warping import inside, warp

__all__ = [
    "FlowFiles",
    "FlowMethod",
    "MaskScore",
    "Motion",
    "Motions",
    "MovingScene",
    "consistency_mask",
    "end_point_error",
    "estimate_flow",
    "flow_picture",
    "inside",
    "read_flo",
    "resize_flow",
    "score_mask",
    "warp",
    "warping_error_lai",
    "warping_error_ruder",
    "write_flo",
]

_WHERE = {
    "FlowFiles": "flo",
    "FlowMethod": "methods",
    "MaskScore": "metrics",
    "Motion": "motions",
    "Motions": "motions",
    "MovingScene": "synthetic",
    "consistency_mask": "masks",
    "end_point_error": "metrics",
    "estimate_flow": "methods",
    "flow_picture": "pictures",
    "inside": "warping",
    "read_flo": "flo",
    "resize_flow": "flo",
    "score_mask": "metrics",
    "warp": "warping",
    "warping_error_lai": "metrics",
    "warping_error_ruder": "metrics",
    "write_flo": "flo",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
