"""The options of colorization. Defaults are those of Iizuka et al. 2016, *Let there be Color!*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from algorithms.noisy.options import ActivationOptions
from arcadia.errors import UserError, did_you_mean

# Here, and not where they are used: the command line shows its options without importing torch.
ColorSpace = Literal["lab", "yuv", "rgb"]
Fusion = Literal["relu", "sigmoid"]

SIDE_MULTIPLE = 8
"""Sides of what the network sees are multiples of this: three layers halve them, exactly."""
GLOBAL_SIDE_MULTIPLE = 32
"""And of what its global branch sees: two more do."""


@dataclass(frozen=True, kw_only=True)
class _LayerOptions:
    """Those of the network but for its activations."""

    width: float = 1.0
    """Channels of every layer over the paper's, rounded, at least 1 each; what goes in and comes
    out stays: the colours and the classes."""
    image_size: int = 224
    """Side in pixels, a multiple of 32, of the square that the global branch sees: the whole
    picture, resized. Most weights are of the layer that reads its (image_size / 32)²
    positions."""
    colorspace: ColorSpace = "lab"
    """What is predicted: lab (a*, b*), yuv (U, V) or rgb (all three colours)."""
    fusion: Fusion = "relu"
    """Nonlinearity of the layer that joins global and local features: relu, as in public code (or
    what activation says), or sigmoid, as the paper may be read."""
    global_features: bool = True
    """Off: the paper's baseline of local features alone, which has no classifier either."""

    def __post_init__(self) -> None:
        if not 0 < self.width <= 8:
            raise UserError(f"width {self.width}: must be above 0, and 8 at most")
        multiple = GLOBAL_SIDE_MULTIPLE
        if not multiple <= self.image_size <= 4096 or self.image_size % multiple:
            raise UserError(
                f"image_size {self.image_size}: must be a multiple of {multiple} from {multiple} "
                "to 4096"
            )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(
                    f'{name} "{value}": must be {", ".join(choices)}{did_you_mean(value, choices)}'
                )


# Those of activations come last, on the command line, too: a class's fields are behind those of the
# classes it is made of, the last of them first.
@dataclass(frozen=True, kw_only=True)
class NetworkOptions(ActivationOptions, _LayerOptions):
    """What the network is made of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_noise()


_CHOICES: dict[str, tuple[str, ...]] = {
    "colorspace": get_args(ColorSpace),
    "fusion": get_args(Fusion),
}
