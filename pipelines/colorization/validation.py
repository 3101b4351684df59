"""Judging a network by pictures that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from arcadia.media import draw_label
from pipelines.colorization.losses import class_loss
from pipelines.colorization.metrics import ab_mse, colorfulness, psnr, ssim, top_k
from pipelines.colorization.networks import Colorizer
from pipelines.colorization.spaces import split

ToDevice = Callable[[np.ndarray], Tensor]
"""Brings uint8 (B, H, W, 3) to the network's device, as (B, 3, H, W) in 0..1."""
_ENLARGED_PX = 128  # least side of a picture in a grid


class Figures:
    """Means over pictures, added up batch by batch.

    Of pictures that have a label "top1", "top5" and "class_loss", of all the others. A figure that
    no picture has is left out.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, values: Tensor) -> None:
        """One value a picture, (B,); those that are no numbers do not count."""
        there = values[torch.isfinite(values)].double()
        self._sums[name] = self._sums.get(name, 0.0) + float(there.sum())
        self._counts[name] = self._counts.get(name, 0) + len(there)

    def add_pictures(self, colored: Tensor, truth: Tensor) -> None:
        """Colours against the right ones, both (B, 3, H, W) in 0..1."""
        self.add("ab_mse", ab_mse(colored, truth))
        self.add("psnr", psnr(colored, truth))
        self.add("ssim", ssim(colored, truth))
        self.add("colorfulness", colorfulness(colored))

    def add_classes(self, logits: Tensor, labels: Tensor) -> None:
        """Classes against the right ones, -1 for none."""
        self.add("top1", top_k(logits, labels, 1))
        self.add("top5", top_k(logits, labels, 5))
        losses = class_loss(logits, labels)
        self.add("class_loss", losses.where(labels >= 0, float("nan")))

    def totals(self, names: Iterable[str]) -> Tensor:
        """Sums and counts of some figures, for workers to add up: float64 (2, N)."""
        named = list(names)
        return torch.tensor(
            [[self._sums.get(n, 0.0) for n in named], [self._counts.get(n, 0) for n in named]],
            dtype=torch.float64,
        )

    def means(self) -> dict[str, float]:
        return means(self._sums, self.totals(self._sums))


NAMES = ("ab_mse", "psnr", "ssim", "colorfulness", "top1", "top5", "class_loss")


def means(names: Iterable[str], totals: Tensor) -> dict[str, float]:
    """The means that sums and counts, (2, N), give."""
    rows = zip(names, *totals.tolist(), strict=True)
    return {name: total / count for name, total, count in rows if count}


def judge(
    network: Colorizer,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    to_device: ToDevice,
) -> Figures:
    """Colours pictures and compares them with the right ones.

    Args:
        network: in evaluation mode.
        batches: uint8 (B, H, W, 3) and int64 (B,) labels, -1 for none.
        to_device: for its device.
    """
    figures = Figures()
    for images, labels in batches:
        truth = to_device(images)
        with torch.no_grad():
            colored = network.colorize(truth)
            figures.add_pictures(colored, truth)
            if network.num_classes:
                lightness, _ = split(truth, network.options.colorspace)
                logits = network.classify(lightness)
                wanted = torch.from_numpy(labels).to(logits.device)
                figures.add_classes(logits.float(), wanted)
    return figures


def grid(network: Colorizer, images: np.ndarray, to_device: ToDevice) -> np.ndarray:
    """Pictures in grey, as they are coloured, and as they are, in three rows.

    Args:
        network: in evaluation mode.
        images: uint8 (N, H, W, 3).
        to_device: for its device.

    Returns:
        uint8 (3 H', N W', 3).
    """
    truth = to_device(images)
    with torch.no_grad():
        colored = network.colorize(truth)
    grey = split(truth, "yuv")[0].expand(-1, 3, -1, -1)
    times = -(-_ENLARGED_PX // min(images.shape[1:3]))
    rows = []
    for name, pictures in (("grey", grey), ("predicted", colored), ("truth", truth)):
        shown = to_bytes(pictures).repeat(times, axis=1).repeat(times, axis=2)
        rows.append(draw_label(np.concatenate(list(shown), axis=1), name, (4, 4), size=12))
    return np.concatenate(rows)


def to_bytes(pictures: Tensor) -> np.ndarray:
    """uint8 (B, H, W, 3) of pictures (B, 3, H, W) in 0..1."""
    scaled = (pictures.float() * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())
