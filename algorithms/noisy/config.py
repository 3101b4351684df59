"""Which activation functions there are, and how they are asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from arcadia.errors import UserError, did_you_mean

Form = Literal["output", "basic", "input", "learned_input", "saturated_input"]
"""Where the noise goes: `output` is the paper's formula, `basic` the one that it begins with, the
others add noise before the function; see `functions`."""

Variant = Literal["nan", "nah", "nani", "nanil", "nanis"]
"""The paper's names."""

VARIANTS: Mapping[Variant, Mapping[str, Any]] = {
    "nan": {"form": "output", "half_normal": False},
    "nah": {"form": "output", "half_normal": True},
    "nani": {"form": "input", "half_normal": False},
    "nanil": {"form": "learned_input", "half_normal": False},
    "nanis": {"form": "saturated_input", "half_normal": False},
}
"""What each is as arguments of `NoisyHardTanh` and `NoisyHardSigmoid`."""

ActivationName = Literal[
    "relu",
    "tanh",
    "sigmoid",
    "hard_tanh",
    "hard_sigmoid",
    "noisy_hard_tanh",
    "noisy_hard_sigmoid",
]
"""Activation functions of a network's layers."""


def check_choice(name: str, value: str, choices: Any) -> None:
    """Refuses what is none of a Literal's words.

    Raises:
        UserError: with the nearest word.
    """
    words = get_args(choices)
    if value not in words:
        raise UserError(f'{name} "{value}": must be {", ".join(words)}{did_you_mean(value, words)}')


def check_strength(alpha: float, c: float) -> None:
    """Refuses an alpha or c that means nothing.

    Raises:
        UserError: alpha is not above 0, or c is below 0.
    """
    if not 0 < alpha < float("inf"):
        raise UserError(f"alpha {alpha}: must be above 0; the paper has 1.15")
    if not 0 <= c < float("inf"):
        raise UserError(f"c {c}: must be at least 0; 0 is no noise")
