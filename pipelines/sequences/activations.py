"""The gates and candidates that the options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from algorithms.noisy import HardSigmoid, HardTanh, NoisyHardSigmoid, NoisyHardTanh
from pipelines.sequences.config import SequenceOptions

if TYPE_CHECKING:
    from algorithms.noisy.recurrent import MakeActivation


class Activations(NamedTuple):
    """What recurrent networks make their activations with; see `NoisyLSTM`."""

    gate: MakeActivation
    candidate: MakeActivation


def activations_of(options: SequenceOptions) -> Activations:
    """Plain ones, or noisy ones of the options' variant."""
    if options.activation == "soft":
        return Activations(lambda units: nn.Sigmoid(), lambda units: nn.Tanh())
    if options.activation == "hard":
        return Activations(lambda units: HardSigmoid(), lambda units: HardTanh())
    variant = options.activation

    def gate(units: int) -> nn.Module:
        return NoisyHardSigmoid(**options.noise_arguments(variant, units))

    def candidate(units: int) -> nn.Module:
        return NoisyHardTanh(**options.noise_arguments(variant, units))

    return Activations(gate, candidate)
