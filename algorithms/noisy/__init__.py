"""Noisy activation functions (Gulcehre et al. 2016): drop-ins, what is built of them, and how their
noise is made less as learning goes on.

The names are loaded at first use, so that the command line can show its options without importing
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algorithms.noisy.activations import (
        HardSigmoid,
        HardTanh,
        NoisyActivation,
        NoisyHardSigmoid,
        NoisyHardTanh,
        noisy_parts,
        set_generator,
    )
    from algorithms.noisy.annealing import Annealing
    from algorithms.noisy.cells import NoisyGRUCell, NoisyLSTMCell
    from algorithms.noisy.config import VARIANTS
    from algorithms.noisy.functions import hard_sigmoid, hard_tanh
    from algorithms.noisy.ntm import NeuralTuringMachine
    from algorithms.noisy.options import ActivationOptions, AnnealOptions, NoiseOptions
    from algorithms.noisy.recurrent import NoisyGRU, NoisyLSTM
    from algorithms.noisy.schedule import Schedule

__all__ = [
    "VARIANTS",
    "ActivationOptions",
    "AnnealOptions",
    "Annealing",
    "HardSigmoid",
    "HardTanh",
    "NeuralTuringMachine",
    "NoiseOptions",
    "NoisyActivation",
    "NoisyGRU",
    "NoisyGRUCell",
    "NoisyHardSigmoid",
    "NoisyHardTanh",
    "NoisyLSTM",
    "NoisyLSTMCell",
    "Schedule",
    "hard_sigmoid",
    "hard_tanh",
    "noisy_parts",
    "set_generator",
]

_WHERE = {
    "VARIANTS": "config",
    "ActivationOptions": "options",
    "AnnealOptions": "options",
    "Annealing": "annealing",
    "NeuralTuringMachine": "ntm",
    "NoiseOptions": "options",
    "NoisyGRU": "recurrent",
    "NoisyGRUCell": "cells",
    "NoisyLSTM": "recurrent",
    "NoisyLSTMCell": "cells",
    "Schedule": "schedule",
    "hard_sigmoid": "functions",
    "hard_tanh": "functions",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE.get(name, 'activations')}"), name)
