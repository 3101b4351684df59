"""The network of Iizuka et al. 2016, *Let there be Color!*, section 3 and table 1.

Shapes: B batch, H rows and W columns of the picture, S side of what the global branch sees. With
the paper's widths, all convolutions 3 x 3 with a border of zeros:

    low-level     64 /2, 128, 128 /2, 256, 256 /2, 512    (B, 512, H/8, W/8)
    global        512 /2, 512, 512 /2, 512                (B, 512, S/32, S/32), of low-level
                  1024, 512, 256                          (B, 256), fully connected
    mid-level     512, 256                                (B, 256, H/8, W/8), of low-level
    fusion        256, 1 x 1                              (B, 256, H/8, W/8), of mid-level and
                                                          global, the latter at every position
    colorization  128, up, 64, 64, up, 32, colours        (B, 2 or 3, H/2, W/2)
    classifier    256, classes                            (B, classes), of the 512 above

Batch normalisation and a rectifier, or the activation that is asked for instead, follow every layer
but the last of the colorization, which has a sigmoid, and of the classifier.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.colorization.config import GLOBAL_SIDE_MULTIPLE, SIDE_MULTIPLE, NetworkOptions
from pipelines.colorization.spaces import join, num_colors, split

_NO_FEATURES = "global features of a picture: this network was made without; use another one"


class Prediction(NamedTuple):
    """What the network says of pictures."""

    color: Tensor
    """(B, 2 or 3, H/2, W/2), 0 to 1, of `spaces.split`; float32 under autocast too."""
    logits: Tensor | None
    """(B, num_classes); None where there is no classifier."""


class _Layer(nn.Module):
    """A convolution or a matrix, batch normalisation, and a nonlinearity."""

    def __init__(self, linear: nn.Module, normalisation: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.normalisation = normalisation
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.normalisation(self.linear(x)))


class _Layers:
    """Makes layers with the activation that the options name."""

    def __init__(self, options: NetworkOptions):
        self._options = options

    def convolution(self, num_inputs: int, num_outputs: int, stride: int = 1) -> _Layer:
        convolution = nn.Conv2d(num_inputs, num_outputs, 3, stride=stride, padding=1)
        return _Layer(convolution, nn.BatchNorm2d(num_outputs), self.activation(num_outputs, 1))

    def connected(self, num_inputs: int, num_outputs: int) -> _Layer:
        linear = nn.Linear(num_inputs, num_outputs)
        return _Layer(linear, nn.BatchNorm1d(num_outputs), self.activation(num_outputs, -1))

    def activation(self, num_units: int, dim: int) -> nn.Module:
        if self._options.activation == "relu":
            return nn.ReLU(inplace=True)  # of the normalised values, which nobody else sees
        return self._options.make_activation(num_units, dim)


class Colorizer(nn.Module):
    """Predicts the colours of pictures from their lightness, and what they show.

    The low-level layers are shared, weights too, by the branch that sees the picture and the one
    that sees it resized to a square; where both see the same, they run once.

    No gradient is stopped. That of the colours reaches all but the classifier. That of the classes
    reaches the classifier, the global branch up to its layer of 512, and the shared low-level
    layers, as in the paper; the layer of 256 above that, and the mid-level, fusion and colorization
    layers lie beside its way.

    In training mode batches must be of 2 or more, as for all batch normalisation.

    Args:
        num_classes: of the classifier; 0: it has none.
        options: by default those of the paper, with 205 classes 42,353,839 parameters besides
            batch normalisation's.
        **overrides: fields of `options`.

    Raises:
        UserError: an option is out of range, or num_classes below 0.
    """

    def __init__(
        self, num_classes: int = 205, options: NetworkOptions | None = None, **overrides: Any
    ) -> None:
        super().__init__()
        options = dataclasses.replace(options or NetworkOptions(), **overrides)
        if num_classes < 0:
            raise UserError(f"num_classes {num_classes}: must be 0, for no classifier, or more")
        self.options = options
        self.num_classes = num_classes if options.global_features else 0

        def wide(channels: int) -> int:
            return max(1, round(channels * options.width))

        layers = _Layers(options)
        convolution, connected = layers.convolution, layers.connected
        c32, c64, c128, c256, c512, c1024 = (wide(32 << doubling) for doubling in range(6))
        self.low_level = nn.Sequential(
            convolution(1, c64, stride=2),
            convolution(c64, c128),
            convolution(c128, c128, stride=2),
            convolution(c128, c256),
            convolution(c256, c256, stride=2),
            convolution(c256, c512),
        )
        self.mid_level = nn.Sequential(convolution(c512, c512), convolution(c512, c256))
        if options.global_features:
            num_positions = (options.image_size // GLOBAL_SIDE_MULTIPLE) ** 2
            self.global_level = nn.Sequential(
                convolution(c512, c512, stride=2),
                convolution(c512, c512),
                convolution(c512, c512, stride=2),
                convolution(c512, c512),
                nn.Flatten(),
                connected(num_positions * c512, c1024),
                connected(c1024, c512),
            )
            self.global_output = connected(c512, c256)
        self.fusion = _Layer(
            nn.Conv2d(2 * c256 if options.global_features else c256, c256, 1),
            nn.BatchNorm2d(c256),
            nn.Sigmoid() if options.fusion == "sigmoid" else layers.activation(c256, 1),
        )
        self.colorization = nn.Sequential(
            convolution(c256, c128),
            nn.Upsample(scale_factor=2),
            convolution(c128, c64),
            convolution(c64, c64),
            nn.Upsample(scale_factor=2),
            convolution(c64, c32),
            nn.Conv2d(c32, num_colors(options.colorspace), 3, padding=1),
        )
        self.classifier = (
            nn.Sequential(connected(c512, c256), nn.Linear(c256, self.num_classes))
            if self.num_classes
            else None
        )

    def forward(self, lightness: Tensor, global_lightness: Tensor | None = None) -> Prediction:
        """Colours and classes of pictures.

        Args:
            lightness: (B, 1, H, W) floating point, 0 to 1, of `spaces.split`; H and W multiples
                of 8.
            global_lightness: (B, 1, S, S), what the global branch sees, of these pictures or of
                others; resized when it has another size. None: `lightness`.

        Returns:
            Of the pictures' colours, and of the classes of what the global branch saw.

        Raises:
            ValueError: another shape or dtype.
        """
        _check("lightness", lightness)
        height, width = lightness.shape[2:]
        if not height or not width or height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise ValueError(
                f"lightness of {width} x {height} pixels: sides must be multiples of "
                f"{SIDE_MULTIPLE}; colorize takes any"
            )
        low_level = self.low_level(lightness)
        if not self.options.global_features:
            return Prediction(self._color(low_level, None), None)
        square = self._square(lightness if global_lightness is None else global_lightness)
        hidden = self.global_level(low_level if square is lightness else self.low_level(square))
        color = self._color(low_level, self.global_output(hidden))
        return Prediction(color, None if self.classifier is None else self.classifier(hidden))

    def global_features(self, global_lightness: Tensor) -> Tensor:
        """What the global branch makes of pictures, for `colorize`.

        Args:
            global_lightness: (B, 1, S, S) floating point, 0 to 1; resized when it has another size.

        Returns:
            (B, 256 times the width), 0 or more.

        Raises:
            ValueError: another shape or dtype.
            UserError: the network has no global features.
        """
        hidden = self._hidden(global_lightness)
        return self.global_output(hidden)

    def classify(self, global_lightness: Tensor) -> Tensor:
        """The classes of pictures of any size.

        Args:
            global_lightness: as for `global_features`, which says what is raised, too.

        Returns:
            Logits (B, num_classes).

        Raises:
            ValueError: the network has no classifier.
        """
        if self.classifier is None:
            raise ValueError("the network has no classifier")
        return self.classifier(self._hidden(global_lightness))

    def _hidden(self, global_lightness: Tensor) -> Tensor:
        """What classes and global features are read from."""
        if not self.options.global_features:
            raise UserError(_NO_FEATURES)
        return self.global_level(self.low_level(self._square(global_lightness)))

    @torch.no_grad()
    def colorize(self, rgb: Tensor, *, style_from: Tensor | None = None) -> Tensor:
        """Pictures in the colours that the network gives them, their lightness kept.

        The network sees them with sides rounded to multiples of 8, at least 8. Its colours, of half
        that size, are brought to the pictures' own bilinearly, as in the authors' code.

        Args:
            rgb: (B, 3, H, W) floating point, 0 to 1, of any size; only the lightness counts.
            style_from: (B or 1, F), `global_features` of other pictures instead of their own.

        Returns:
            (B, 3, H, W) RGB, 0 to 1, float32 or float64.

        Raises:
            ValueError: another shape or dtype, or the network is in training mode.
            UserError: `style_from`, and the network has no global features.
        """
        lightness, _ = split(rgb, self.options.colorspace)
        return self.paint(lightness, self.predict_color(lightness, style_from=style_from))

    @torch.no_grad()
    def predict_color(self, lightness: Tensor, *, style_from: Tensor | None = None) -> Tensor:
        """The colours that `colorize` gives to pictures of a lightness, of about half their size.

        Args:
            lightness: (B, 1, H, W), 0 to 1, of `spaces.split`, of any size.
            style_from: as for `colorize`, which says what is raised, too.

        Returns:
            (B, 2 or 3, H', W'), 0 to 1, float32.
        """
        if self.training:
            raise ValueError("the network is in training mode; call eval() before it colorizes")
        _check("lightness", lightness)
        height, width = lightness.shape[2:]
        seen = _resized(lightness, (_nearest_multiple(height), _nearest_multiple(width)))
        if style_from is None:
            return self(seen).color
        if not self.options.global_features:
            raise UserError(_NO_FEATURES)
        return self._color(self.low_level(seen), style_from.expand(len(seen), -1))

    @torch.no_grad()
    def paint(self, lightness: Tensor, color: Tensor) -> Tensor:
        """Pictures of a lightness in colours of another size, as `colorize` joins them.

        Args:
            lightness: (B, 1, H, W), 0 to 1, of `spaces.split`.
            color: (B, 2 or 3, H', W'), of `predict_color`.

        Returns:
            (B, 3, H, W) RGB, 0 to 1, float32 or float64.
        """
        size = lightness.shape[2:]
        color = F.interpolate(color, size, mode="bilinear", align_corners=False)
        return join(lightness, color, self.options.colorspace)

    def _square(self, lightness: Tensor) -> Tensor:
        """What the global branch sees of pictures; themselves where they have its size."""
        _check("global_lightness", lightness)
        return _resized(lightness, (self.options.image_size, self.options.image_size))

    def _color(self, low_level: Tensor, features: Tensor | None) -> Tensor:
        local = self.mid_level(low_level)
        if features is not None:
            everywhere = features[:, :, None, None].expand(-1, -1, *local.shape[2:])
            local = torch.cat([local, everywhere], dim=1)
        # Eight bits of a sigmoid's value would be half a unit of a* and b*.
        return torch.sigmoid(self.colorization(self.fusion(local)).float())


def _resized(lightness: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) to (B, 1, *size), averaging where it shrinks; itself where it has that size."""
    if lightness.shape[2:] == size:
        return lightness
    return F.interpolate(lightness, size, mode="bilinear", align_corners=False, antialias=True)


def _nearest_multiple(side: int) -> int:
    return max(1, (side + SIDE_MULTIPLE // 2) // SIDE_MULTIPLE) * SIDE_MULTIPLE


def _check(name: str, lightness: Tensor) -> None:
    if lightness.ndim != 4 or lightness.shape[1] != 1 or not lightness.is_floating_point():
        raise ValueError(
            f"{name} is {lightness.dtype} {tuple(lightness.shape)}: needs floats of (B, 1, H, W)"
        )
