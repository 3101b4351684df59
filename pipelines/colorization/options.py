"""The options of training a colorizer: everything that decides what it becomes.

Defaults are those of Iizuka et al. 2016, section 4, and where the paper gives none, usual ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import tyro

from algorithms.noisy.options import AnnealOptions
from arcadia.errors import UserError, did_you_mean
from arcadia.precision import Precision
from arcadia.typed import from_json
from pipelines.colorization.config import NetworkOptions

OptimiserName = Literal["adadelta", "adam", "sgd"]

LEARNING_RATES: Mapping[OptimiserName, float] = {"adadelta": 1.0, "adam": 1e-3, "sgd": 0.05}

_INF = math.inf
_RANGES: dict[str, tuple[float, float]] = {
    "alpha": (0, 1e6),
    "batch_size": (1, 1_000_000),
    "steps": (1, _INF),
    "learning_rate": (1e-12, 1e3),
    "rho": (0, 1),
    "epsilon": (1e-12, 1),
    "weight_decay": (0, 1),
    "ema_decay": (0, 1),
    "validation_fraction": (0, 0.5),
    "validation_images": (1, _INF),
    "validation_period": (1, _INF),
    "checkpoint_period": (1, _INF),
}


@dataclass(frozen=True, kw_only=True)
class _PlainOptions:
    """Those of training but for noise."""

    network: Annotated[NetworkOptions, tyro.conf.arg(name="")] = field(
        default_factory=NetworkOptions
    )

    # Losses
    alpha: float = 1 / 300
    """Weight of the classification; the mean of squared differences of chrominance in 0..1 has the
    weight 1."""

    # Optimiser
    optimizer: OptimiserName = "adadelta"
    """adadelta (the paper's), adam or sgd (with momentum 0.9)."""
    learning_rate: float | None = None
    """By default 1 for Adadelta, 0.001 for Adam, 0.05 for SGD."""
    rho: float = 0.95
    """Of Adadelta: how much of its running means is kept."""
    epsilon: float = 1e-6
    """Of Adadelta and Adam, added to a denominator."""
    weight_decay: float = 0.0
    """Of all weights."""
    batch_size: int = 128
    """Pictures a step, of all workers together."""
    steps: int = 200_000
    """Until the end; 11 epochs of Places in the paper."""
    ema_decay: float | None = None
    """Validate and keep a running mean of the weights with this decay, such as 0.999; by default
    the weights themselves."""
    freeze_batch_norm: bool = False
    """Leave batch normalisation's statistics as they are: to go on from --weights with few
    pictures."""
    precision: Precision = "auto"
    """Of the network's arithmetic: auto is bfloat16 or float16 on a GPU that is fast with it, and
    float32 on a CPU."""

    # Validation
    validation_fraction: float = 0.02
    """Share of the row groups that is kept aside, where no --validation is given."""
    validation_images: int = 2_000
    """At most so many are looked at."""
    validation_period: int = 1_000
    """Steps between two validations; there is one at the end."""
    checkpoint_period: int = 1_000
    """Steps between two checkpoints; there is one at the end."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                bounds = f"at least {low:g}" if high == _INF else f"from {low:g} to {high:g}"
                raise UserError(f"{name} {value}: must be {bounds}")
        for name, choices in (
            ("optimizer", get_args(OptimiserName)),
            ("precision", get_args(Precision)),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise UserError(
                    f'{name} "{value}": must be {", ".join(choices)}{did_you_mean(value, choices)}'
                )

    @property
    def crop(self) -> int:
        """Side in pixels of what is cut out of the pictures: what the global branch sees."""
        return self.network.image_size


# See `NetworkOptions` for the order of the classes.
@dataclass(frozen=True, kw_only=True)
class ColorizerOptions(AnnealOptions, _PlainOptions):
    """What is trained, and how."""

    def __post_init__(self) -> None:
        super().__post_init__()
        network = self.network
        self.check_anneal(network, network.activation, is_noisy=network.is_noisy)


def options_from(values: Any) -> ColorizerOptions:
    """The options that a run's config holds."""
    return from_json(ColorizerOptions, values)
