"""Automatic colorization of photographs and films (Iizuka et al. 2016).

The names are loaded at first use, so that the command line can show its options without importing
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.colorization.config import NetworkOptions
    from pipelines.colorization.files import load_colorizer, save_colorizer
    from pipelines.colorization.losses import ALPHA, class_loss, color_loss, total
    from pipelines.colorization.networks import Colorizer, Prediction
    from pipelines.colorization.options import ColorizerOptions
    from pipelines.colorization.spaces import join, split
    from pipelines.colorization.trial import sweep_trial

__all__ = [
    "ALPHA",
    "Colorizer",
    "ColorizerOptions",
    "NetworkOptions",
    "Prediction",
    "class_loss",
    "color_loss",
    "join",
    "load_colorizer",
    "save_colorizer",
    "split",
    "sweep_trial",
    "total",
]

_WHERE = {
    "ALPHA": "losses",
    "ColorizerOptions": "options",
    "NetworkOptions": "config",
    "class_loss": "losses",
    "color_loss": "losses",
    "load_colorizer": "files",
    "save_colorizer": "files",
    "join": "spaces",
    "split": "spaces",
    "sweep_trial": "trial",
    "total": "losses",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE.get(name, 'networks')}"), name)
