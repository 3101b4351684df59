"""VGG-16 and VGG-19 as extractors of features (Simonyan & Zisserman 2014), up to a layer.

Layers are named as in Gatys et al. 2015: relu4_2 is the output of the second rectifier of the
fourth block; a pooling separates two blocks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arcadia.errors import UserError, did_you_mean
from arcadia.weights import find_weights, read_weights
from pipelines.stylization.config import DEPTHS, Network, Pooling, layer_names

_WIDTHS = (64, 128, 256, 512, 512)
# Of colours from 0 to 255, RGB. Oxford's VGG-16 takes differences from the mean as they are;
# torchvision's VGG-19 takes them divided by the deviation.
_MEANS = {"vgg16": (123.68, 116.779, 103.939), "vgg19": (255 * 0.485, 255 * 0.456, 255 * 0.406)}
_DEVIATIONS = (255 * 0.229, 255 * 0.224, 255 * 0.225)


class _Layer(NamedTuple):
    """A convolution and its rectifier."""

    block: int
    number: int
    """In its block; both from 1."""
    num_inputs: int
    num_outputs: int

    @property
    def convolution(self) -> str:
        return f"conv{self.block}_{self.number}"

    @property
    def relu(self) -> str:
        return f"relu{self.block}_{self.number}"


def _layers(network: Network) -> list[_Layer]:
    if network not in DEPTHS:
        raise UserError(f'network "{network}": not known{did_you_mean(network, DEPTHS)}')
    layers: list[_Layer] = []
    num_inputs = 3
    for block, (depth, width) in enumerate(zip(DEPTHS[network], _WIDTHS, strict=True), 1):
        for number in range(1, depth + 1):
            layers.append(_Layer(block, number, num_inputs, width))
            num_inputs = width
    return layers


def _up_to(network: Network, names: Sequence[str]) -> list[_Layer]:
    """The layers of a network up to the deepest of those named."""
    layers = _layers(network)
    known = layer_names(network)
    for name in names:
        if name not in known:
            raise UserError(
                f'layer "{name}": {network} has {known[0]} to {known[-1]}'
                f"{did_you_mean(name, known)}"
            )
    if not names:
        raise UserError(f"no layer was named: {network} has {known[0]} to {known[-1]}")
    return layers[: 1 + max(known.index(name) for name in names)]


def stride(layer: str) -> int:
    """How many pixels of the image, along each side, one position of a layer stands for.

    Position (i, j) stands for the square of pixels (s i, s j) to (s i + s - 1, s j + s - 1).
    """
    return 1 << (_up_to("vgg19", [layer])[-1].block - 1)


def receptive_radius(network: Network, layer: str) -> int:
    """How many pixels beyond its own square of `stride` pixels a position of a layer sees.

    The same on all sides. A change further away leaves the features at that position as they are.
    """
    return sum(stride(above.relu) for above in _up_to(network, [layer]))


class VGG(nn.Module):
    """The convolutions of VGG-16 or VGG-19 up to the deepest layer asked for.

    Frozen and in evaluation mode. Its weights are random until `load_vgg` has read them.

    Args:
        network: "vgg16" or "vgg19".
        layers: those whose features are wanted, such as "relu4_2"; the order does not matter.
        pooling: between blocks, over squares of 2 x 2: "max" as both networks were trained, or
            "average", which Gatys et al. found to paint a little better.

    Raises:
        UserError: the network, a layer or the pooling is unknown.
    """

    mean: Tensor

    def __init__(
        self, network: Network, layers: Sequence[str], *, pooling: Pooling = "max"
    ) -> None:
        super().__init__()
        self.network: Network = network
        self.layers = frozenset(layers)
        self._needed = _up_to(network, layers)
        if pooling not in get_args(Pooling):
            raise UserError(f'pooling "{pooling}": choose max or average')
        self.pooling = pooling
        self.convolutions = nn.ModuleDict(
            {
                layer.convolution: nn.Conv2d(layer.num_inputs, layer.num_outputs, 3, padding=1)
                for layer in self._needed
            }
        )
        mean = torch.tensor(_MEANS[network]).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of images.

        Args:
            image: (B, 3, H, W) floating point, RGB from 0 to 255. The mean colour is subtracted
                here, so that what lies beyond the border counts as the mean colour.

        Returns:
            (B, C, H // s, W // s) of each layer asked for, at least 0, by name from the input on,
            with s the layer's `stride`. Their size is that of a network which takes 0 to 255
            less the mean, of both networks.

        Raises:
            ValueError: the image has another shape or dtype.
            UserError: it is too small for the deepest layer.
        """
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise ValueError(
                f"image is {image.dtype} {tuple(image.shape)}: needs floats of (B, 3, H, W)"
            )
        height, width = image.shape[2:]
        deepest = self._needed[-1].relu
        if min(height, width) < stride(deepest):
            raise UserError(
                f"image of {width} x {height} pixels: {deepest} needs at least "
                f"{stride(deepest)} x {stride(deepest)}"
            )
        features: dict[str, Tensor] = {}
        x = image - self.mean
        for layer in self._needed:
            if layer.block > 1 and layer.number == 1:
                x = F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
            # In place of the convolution's output, which nobody else sees.
            x = F.relu(self.convolutions[layer.convolution](x), inplace=True)
            if layer.relu in self.layers:
                features[layer.relu] = x
        return features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its weights, by their names in the published file."""
        parameters = self.convolutions.state_dict()
        return {
            ours: tuple(parameters[name].shape) for name, ours in self._published_names().items()
        }

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes published weights, by the names that `shapes` gives.

        torchvision's are rescaled. With d = 255 std for each colour and k the mean of the three
        (57.6), the first convolution's weights are multiplied by k / d and every bias by k: the
        rectifier and the poolings let a factor through, so that all features are k times
        torchvision's, as large as in a network that takes colours less their mean undivided. The
        mean is not folded in, because the padding with zeros comes after its subtraction.
        """
        named = {name: weights[theirs] for name, theirs in self._published_names().items()}
        if self.network == "vgg19":
            deviations = torch.tensor(_DEVIATIONS).view(1, 3, 1, 1)
            scale = deviations.mean()
            for name, tensor in named.items():
                if name == "conv1_1.weight":
                    named[name] = tensor * (scale / deviations)
                elif name.endswith(".bias"):
                    named[name] = tensor * scale
        self.convolutions.load_state_dict(named)

    def _published_names(self) -> dict[str, str]:
        """Names in the published file of its weights, by its own."""
        names: dict[str, str] = {}
        for index, layer in enumerate(self._needed):
            # torchvision numbers convolutions, rectifiers and poolings in one row.
            theirs = f"features.{2 * index + layer.block - 1}"
            for kind in ("weight", "bias"):
                ours = f"{layer.convolution}.{kind}"
                names[ours] = f"{theirs}.{kind}" if self.network == "vgg19" else ours
        return names


def check_vgg(
    network: Network, layers: Sequence[str], path: str | os.PathLike[str] | None = None
) -> None:
    """Looks whether `load_vgg` can read what it needs; raises what it would."""
    with torch.device("meta"):
        shapes = VGG(network, layers).shapes()
    read_weights(find_weights(network, path), shapes)


def load_vgg(
    network: Network,
    layers: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    *,
    pooling: Pooling = "max",
) -> VGG:
    """A VGG with its published weights; see `VGG` and `arcadia.weights.find_weights`.

    Raises:
        UserError: the network or a layer is unknown, or its weights cannot be found or read.
    """
    vgg = VGG(network, layers, pooling=pooling)
    vgg.load(read_weights(find_weights(network, path), vgg.shapes()))
    return vgg
