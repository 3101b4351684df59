"""The usual loop of neural style transfer, written plainly: what stylization is held against.

One frame, VGG-16 by torch's own modules in a row, features taken as they come by, losses as in
the papers' code, `loss.backward()`. The same weights, frame, style and losses as Arcadia's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from arcadia.weights import find_weights, read_weights
from pipelines.stylization.config import DEPTHS

_WIDTHS = (64, 128, 256, 512, 512)
_MEAN = (123.68, 116.779, 103.939)
_CONTENT = "relu4_2"
_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class BareLoop:
    """Gradients of one frame's loss: content, style, and a temporal term where given.

    Args:
        content_hwc: uint8 (H, W, 3).
        style_hwc: uint8 (H, W, 3), already of the size that counts.
        warped_hwc: float32 (H, W, 3), with `mask_hw` for the temporal loss; None without.
        mask_hw: float32 (H, W).
    """

    def __init__(
        self,
        content_hwc: np.ndarray,
        style_hwc: np.ndarray,
        warped_hwc: np.ndarray | None = None,
        mask_hw: np.ndarray | None = None,
    ):
        modules: list[nn.Module] = []
        self._names: list[str | None] = []
        channels = 3
        for block, (depth, width) in enumerate(zip(DEPTHS["vgg16"], _WIDTHS, strict=True), 1):
            for number in range(1, depth + 1):
                modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                self._names += [None, f"relu{block}_{number}"]
                channels = width
                if (block, number) == (5, 1):
                    break
            else:
                modules.append(nn.MaxPool2d(2))
                self._names.append(None)
        self._net = nn.Sequential(*modules)
        self._load()
        self._mean = torch.tensor(_MEAN).view(1, 3, 1, 1)
        with torch.no_grad():
            self._content = self._features(_tensor(content_hwc))[_CONTENT]
            style = self._features(_tensor(style_hwc))
            self._grams = {name: _gram(style[name]) for name in _STYLE}
        self._warped = None if warped_hwc is None else _tensor(warped_hwc)
        self._mask = None if mask_hw is None else torch.from_numpy(mask_hw)

    def _load(self) -> None:
        convolutions = [m for m in self._net if isinstance(m, nn.Conv2d)]
        names = [n.replace("relu", "conv") for n in self._names if n is not None]
        shapes = {
            f"{name}.{kind}": tuple(getattr(conv, kind).shape)
            for name, conv in zip(names, convolutions, strict=True)
            for kind in ("weight", "bias")
        }
        weights = read_weights(find_weights("vgg16"), shapes)
        for name, conv in zip(names, convolutions, strict=True):
            conv.load_state_dict({kind: weights[f"{name}.{kind}"] for kind in ("weight", "bias")})
        self._net.requires_grad_(False)

    def gradient(self, image: Tensor) -> Tensor:
        """One step of the loop without an optimiser: the loss; its gradient is in `image.grad`."""
        image.grad = None
        loss = self.loss(image)
        loss.backward()
        return loss.detach()

    def loss(self, image: Tensor) -> Tensor:
        """1 : 20 : 200, as the paper weighs them."""
        features = self._features(image)
        loss = nn.functional.mse_loss(features[_CONTENT], self._content)
        for name in _STYLE:
            loss = loss + 20 * nn.functional.mse_loss(_gram(features[name]), self._grams[name])
        if self._warped is not None and self._mask is not None:
            loss = loss + 200 * (self._mask * (image - self._warped) ** 2).mean()
        return loss

    def _features(self, image: Tensor) -> Mapping[str, Tensor]:
        features, x = {}, image - self._mean
        for name, module in zip(self._names, self._net, strict=True):
            x = module(x)
            if name is not None:
                features[name] = x
        return features


def _gram(features: Tensor) -> Tensor:
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return flat @ flat.t() / (channels * height * width)


def _tensor(image_hwc: np.ndarray) -> Tensor:
    return torch.from_numpy(image_hwc).permute(2, 0, 1)[None].float().contiguous()
