"""A trained network as it is used: which one, and what it makes of pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arcadia.errors import UserError
from arcadia.media import scaled_size
from arcadia.precision import Precision, dtype_on
from arcadia.runs import RunFolder
from pipelines.colorization.checkpoints import COLORIZER, on_disk
from pipelines.colorization.files import check_colorizer, load_colorizer
from pipelines.colorization.networks import Colorizer
from pipelines.colorization.spaces import split

BATCH_PX = 1 << 20
"""Pixels that go through the network together."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network's file."""

    path: Path
    """On this machine."""
    name: str
    """As a person should read it."""
    step: int | None
    """Of the training run that it comes from."""

    @property
    def sha256(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(run: str | None, weights: str | None, checkpoint: str) -> Weights:
    """The network that a person asked for.

    Args:
        run: a training run, or None.
        weights: a file of `save_colorizer`, or None; one of the two is given.
        checkpoint: of a run: last, best or a step.

    Raises:
        UserError: neither or both are given, it is another kind of run or has no such checkpoint,
            the file is no network's.
    """
    if (run is None) == (weights is None):
        raise UserError(
            "run: give --run with a run of arcadia train colorizer, or --weights with a "
            f"{COLORIZER}" + (", not both" if run is not None else "")
        )
    if weights is not None:
        path = Path(weights).absolute()
        check_colorizer(path)
        return Weights(path=path, name=weights, step=None)
    assert run is not None
    folder = RunFolder.open(run)
    if folder.kind != "colorizer":
        raise UserError(
            f"{folder.storage.shown()}: a run of the kind {folder.kind!r}; give one of "
            "arcadia train colorizer"
        )
    place, step = folder.find_checkpoint(checkpoint)
    check_colorizer(place / COLORIZER)
    name = f"{folder.storage.shown()}, step {step}"
    return Weights(path=place / COLORIZER, name=name, step=step)


def features_of(network: Colorizer, image_hwc: np.ndarray) -> np.ndarray:
    """The global features of a picture, to colour others with.

    Args:
        network: in evaluation mode.
        image_hwc: uint8 (H, W, 3) RGB.

    Returns:
        float32 (1, F).

    Raises:
        UserError: the network has none.
    """
    device = next(network.parameters()).device
    with torch.no_grad():
        lightness, _ = split(_on(device, image_hwc[None]), network.options.colorspace)
        return network.global_features(lightness).cpu().numpy()


class Brush:
    """Colours pictures of one size at a time.

    Args:
        network: in evaluation mode, on its device.
        features: `features_of` another picture, whose global features are borrowed.
        size: longest side in pixels at which the network sees pictures; None: their own.
        precision: of the network's arithmetic.
    """

    def __init__(
        self,
        network: Colorizer,
        *,
        features: np.ndarray | None = None,
        size: int | None = None,
        precision: Precision = "auto",
    ):
        self._device = next(network.parameters()).device
        self._network = network
        if self._device.type == "cuda":
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._features = None if features is None else torch.from_numpy(features).to(self._device)
        self._size = size
        self._dtype = dtype_on(self._device, precision)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Pictures in colour, with the lightness that they have: uint8 (B, H, W, 3) of both."""
        return self.paint(*self.look(images))

    def look(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Lightness (B, 1, H, W) of pictures, uint8 (B, H, W, 3), and the colours (B, 2 or 3, h, w)
        that the network gives them."""
        lightness, _ = split(_on(self._device, images), self._network.options.colorspace)
        seen, (height, width) = lightness, lightness.shape[2:]
        if self._size is not None and max(height, width) > self._size:
            size = scaled_size(height, width, self._size)
            seen = F.interpolate(seen, size, mode="bilinear", align_corners=False, antialias=True)
        is_reduced = self._dtype != torch.float32
        with torch.autocast(self._device.type, self._dtype, enabled=is_reduced):
            return lightness, self._network.predict_color(seen, style_from=self._features)

    def paint(self, lightness: Tensor, color: Tensor) -> np.ndarray:
        """Pictures, uint8 (B, H, W, 3), of what `look` gave."""
        rgb = self._network.paint(lightness, color)
        return rgb.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def brush_from(data: bytes, device: torch.device, **arguments: object) -> Brush:
    """A brush of a network's file in memory; see `Brush` for the rest."""
    with on_disk(data) as path:
        return Brush(load_colorizer(path, device), **arguments)  # type: ignore[arg-type]


def _on(device: torch.device, images: np.ndarray) -> Tensor:
    """(B, 3, H, W) in 0 to 1 of uint8 (B, H, W, 3)."""
    held = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return held.permute(0, 3, 1, 2).to(torch.float32).div_(255)
