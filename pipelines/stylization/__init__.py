"""Temporally consistent stylization of videos (Ruder et al. 2016).

The names are loaded at first use, so that the command line can show its options without importing
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.flow import consistency_mask
    from pipelines.stylization.config import StyleOptions, preset
    from pipelines.stylization.losses import (
        content_loss,
        gram,
        long_term_weights,
        style_loss,
        temporal_loss,
        total_variation_loss,
    )
    from pipelines.stylization.networks import VGG, load_vgg
    from pipelines.stylization.stylizer import Neighbour, Painted, Stylizer
    from pipelines.stylization.trial import sweep_trial

__all__ = [
    "VGG",
    "Neighbour",
    "Painted",
    "StyleOptions",
    "Stylizer",
    "consistency_mask",
    "content_loss",
    "gram",
    "load_vgg",
    "long_term_weights",
    "preset",
    "style_loss",
    "sweep_trial",
    "temporal_loss",
    "total_variation_loss",
]

_WHERE = {
    "VGG": "networks",
    "Neighbour": "stylizer",
    "Painted": "stylizer",
    "StyleOptions": "config",
    "Stylizer": "stylizer",
    "load_vgg": "networks",
    "preset": "config",
    "sweep_trial": "trial",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "consistency_mask":
        return importlib.import_module("pipelines.flow").consistency_mask
    return getattr(importlib.import_module(f"{__name__}.{_WHERE.get(name, 'losses')}"), name)
