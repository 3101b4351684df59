"""Options of noisy activations, as other options classes take them in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from algorithms.noisy.config import VARIANTS, ActivationName, Variant, check_choice
from algorithms.noisy.schedule import AnnealShape, Schedule, parse_anneal
from arcadia.errors import UserError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """What noisy activations are made with."""

    noise_alpha: float | None = None
    """Of noisy activations, above 0: how far their mean bends back where they are flat; by default
    1.15 of hard tanh, 1.1 of hard sigmoid."""
    noise_c: float | None = None
    """How much noise, at least 0; by default 0.5 of hard tanh, 0.15 of hard sigmoid."""
    noise_per_unit: bool = False
    """Learn a scale of the noise for each unit, instead of one for all of a layer's."""

    def check_noise(self) -> None:
        """Refuses values that cannot work, for `__post_init__` to call.

        Raises:
            UserError: with the option's name, its value and the way out.
        """
        if self.noise_alpha is not None and not 0 < self.noise_alpha < math.inf:
            raise UserError(f"noise_alpha {self.noise_alpha}: must be above 0; the paper has 1.15")
        if self.noise_c is not None and not 0 <= self.noise_c < math.inf:
            raise UserError(f"noise_c {self.noise_c}: must be at least 0; 0 is no noise")

    def noise_arguments(self, variant: Variant, units: int, dim: int = -1) -> dict[str, Any]:
        """Arguments of `NoisyHardTanh` and `NoisyHardSigmoid` for a layer of so many units."""
        given = {"alpha": self.noise_alpha, "c": self.noise_c}
        return {
            **VARIANTS[variant],
            **{name: value for name, value in given.items() if value is not None},
            "num_units": units if self.noise_per_unit else None,
            "dim": dim,
        }


@dataclass(frozen=True, kw_only=True)
class ActivationOptions(NoiseOptions):
    """Which activation functions a network's layers have."""

    activation: ActivationName = "relu"
    """relu, tanh, sigmoid, hard_tanh, hard_sigmoid, noisy_hard_tanh or noisy_hard_sigmoid: of the
    hidden layer of Q-networks' heads, or of all layers of a colorizer."""
    noise_variant: Variant = "nan"
    """Of noisy ones: nan (normal noise), nah (half-normal), nani, nanil or nanis (noise on the
    input: constant, learned, where they saturate)."""

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise in the activation."""
        return self.activation.startswith("noisy")

    def check_noise(self) -> None:
        """See `NoiseOptions`."""
        check_choice("activation", self.activation, ActivationName)
        check_choice("noise_variant", self.noise_variant, Variant)
        super().check_noise()

    def network_values(self) -> dict[str, Any]:
        """What a network has to be told of these options to be made again, for JSON."""
        names = ("activation", "noise_variant", "noise_alpha", "noise_c", "noise_per_unit")
        return {name: getattr(self, name) for name in names}

    def make_activation(self, units: int, dim: int = -1) -> nn.Module:
        """The activation of a layer whose axis `dim` has so many units."""
        from torch import nn

        from algorithms.noisy.activations import (
            HardSigmoid,
            HardTanh,
            NoisyHardSigmoid,
            NoisyHardTanh,
        )

        plain = {
            "relu": nn.ReLU,
            "tanh": nn.Tanh,
            "sigmoid": nn.Sigmoid,
            "hard_tanh": HardTanh,
            "hard_sigmoid": HardSigmoid,
        }
        if self.activation in plain:
            return plain[self.activation]()
        kind = NoisyHardTanh if self.activation == "noisy_hard_tanh" else NoisyHardSigmoid
        return kind(**self.noise_arguments(self.noise_variant, units, dim))


@dataclass(frozen=True, kw_only=True)
class AnnealOptions:
    """How a training makes the noise less."""

    anneal: str | None = None
    """START:END, such as 30:0.5: let c of all noisy activations fall from one to the other."""
    anneal_updates: int | None = None
    """Updates until then; by default as many as there will be."""
    anneal_shape: AnnealShape = "inverse_sqrt"
    """inverse_sqrt (the paper's), exponential or linear."""

    def check_anneal(self, noise: NoiseOptions, activation: str, *, is_noisy: bool) -> None:
        """Refuses values that cannot work, for `__post_init__` to call.

        Args:
            noise: that would be made less.
            activation: how the options call what they have.
            is_noisy: whether there is noise in it.

        Raises:
            UserError: with the option's name, its value and the way out.
        """
        check_choice("anneal_shape", self.anneal_shape, AnnealShape)
        if self.anneal is None:
            if self.anneal_updates is not None:
                raise UserError(
                    f"anneal_updates {self.anneal_updates}: of what? give anneal, too, such as "
                    "30:0.5"
                )
            return
        if not is_noisy:
            raise UserError(
                f"anneal {self.anneal}: activation {activation} has no noise; give a noisy one, or "
                "leave anneal out"
            )
        if noise.noise_c is not None:
            raise UserError(
                f"noise_c {noise.noise_c} and anneal {self.anneal}: give one of the two"
            )
        if self.anneal_updates is not None and self.anneal_updates < 1:
            raise UserError(f"anneal_updates {self.anneal_updates}: must be at least 1")
        self.schedule(1)

    def schedule(self, num_updates: int) -> Schedule | None:
        """How c falls, if it does, over so many updates where no number is given."""
        if self.anneal is None:
            return None
        start, end = parse_anneal(self.anneal)
        duration = num_updates if self.anneal_updates is None else self.anneal_updates
        return Schedule(start=start, end=end, duration=duration, shape=self.anneal_shape)
