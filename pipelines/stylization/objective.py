"""The loss of one frame and its gradient, over the whole picture at once or tile by tile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.stylization.losses import (
    content_loss,
    gram_divisor,
    gram_sum,
    style_loss,
    temporal_loss,
    total_variation_loss,
)
from pipelines.stylization.networks import VGG, receptive_radius, stride
from pipelines.stylization.tiles import Tile, tiles_of


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What the losses count; only their ratios matter."""

    content: float = 1.0
    style: float = 20.0
    temporal: float = 200.0
    total_variation: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Past:
    """An earlier result as this frame should continue it."""

    warped: Tensor
    """(1, 3, H, W) float32, 0..255, brought along the flow."""
    weight: Tensor
    """(1, H, W) in 0..1: where it holds."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What one frame's result is held against."""

    content: Mapping[str, Tensor]
    """By layer, features of the source, (1, C, H, W)."""
    grams: Mapping[str, Tensor]
    """By layer, Gram matrix of the style, (1, C, C)."""
    past: Sequence[Past] = ()
    style_weights: Mapping[str, Tensor] = field(default_factory=dict)
    """By style layer, (H, W) of its features; empty: the style counts alike everywhere."""


class Objective:
    """Losses of pictures under a network.

    Args:
        network: gives the features; on the device that computes.
        weights: what each loss counts.
        precision: of the network's arithmetic; the losses are computed in float32.
        tile: longest side in pixels of the parts into which a picture is cut for the network, so
            that it fits into memory; None: no cutting. The loss and its gradient are those of the
            whole picture: each part is seen with the surroundings that its features depend on, and
            Gram matrices are summed over all parts before any gradient.
    """

    def __init__(
        self,
        network: VGG,
        weights: LossWeights,
        *,
        content_layers: Sequence[str],
        style_layers: Sequence[str],
        precision: torch.dtype = torch.float32,
        tile: int | None = None,
    ):
        self._network = network
        self._weights = weights
        self._content_layers = tuple(content_layers)
        self._style_layers = tuple(style_layers)
        self._precision = precision
        self.tile = tile
        layers = {*content_layers, *style_layers}
        self._stride = max(stride(layer) for layer in layers)
        radius = max(receptive_radius(network.network, layer) for layer in layers)
        self.halo = -(-radius // self._stride) * self._stride
        """Pixels around a part that the network is shown besides."""

    @torch.no_grad()
    def content_targets(self, image: Tensor) -> dict[str, Tensor]:
        """Features of a source frame, (1, 3, H, W) in 0..255, by content layer."""
        parts: dict[str, list[list[Tensor]]] = {layer: [] for layer in self._content_layers}
        for row in self._rows(image):
            for its_rows in parts.values():
                its_rows.append([])
            for tile in row:
                features = self._features(tile.crop(image))
                for layer, its_rows in parts.items():
                    its_rows[-1].append(tile.core(features[layer], self._stride_of(layer)))
        return {
            layer: torch.cat([torch.cat(row, -1) for row in its_rows], -2)
            for layer, its_rows in parts.items()
        }

    @torch.no_grad()
    def style_grams(
        self, image: Tensor, style_weights: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Gram matrices of a picture, (1, 3, H, W) in 0..255, by style layer: (1, C, C)."""
        sums, divisors = self._gram_sums(image, style_weights or {})
        return {layer: sums[layer] / divisors[layer] for layer in self._style_layers}

    def style_weights(self, map_hw: Tensor) -> dict[str, Tensor]:
        """A map of weights, (H, W) at least 0 of the picture's size, for each style layer."""
        sizes, (height, width) = {}, map_hw.shape
        for layer in self._style_layers:
            by = self._stride_of(layer)
            size = (height // by, width // by)
            sizes[layer] = F.interpolate(map_hw[None, None], size, mode="area")[0, 0]
        return sizes

    def backward(self, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Adds the gradient of the weighted loss to `image.grad`.

        Args:
            image: (1, 3, H, W) float32 in 0..255, a leaf that requires a gradient.
            targets: what it is held against.

        Returns:
            "total", and "content", "style", "temporal", "total_variation", unweighted, detached.
        """
        losses = self._pixel_losses(image, targets)
        if self._is_cut(image):
            losses |= self._backward_by_tiles(image, targets)
            pixels = self._weighted(losses, ("temporal", "total_variation"))
            if pixels.requires_grad:
                pixels.backward()
            total = self._weighted(losses, tuple(losses))
        else:
            features = self._features(image)
            losses["content"] = self._content(features, targets)
            losses["style"] = torch.stack(
                [
                    style_loss(
                        gram_sum(features[layer], targets.style_weights.get(layer))
                        / gram_divisor(features[layer], targets.style_weights.get(layer)),
                        targets.grams[layer],
                    ).sum()
                    for layer in self._style_layers
                ]
            ).sum()
            total = self._weighted(losses, tuple(losses))
            (slope,) = torch.autograd.grad(total * self._scale(image), image)
            _add(image, slope / self._scale(image))
        return {name: loss.detach() for name, loss in losses.items()} | {"total": total.detach()}

    def saved_bytes(self, image: Tensor) -> float:
        """Memory that the network keeps of a picture, (1, 3, H, W), until its gradient is there,
        and, while that is computed, three tensors of its widest layer."""
        seen: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, torch.nn.Parameter):
                seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = self._features(image.detach().clone().requires_grad_(True))
        widest = max(tensor.numel() * tensor.element_size() for tensor in features.values())
        return float(sum(seen.values()) + 3 * max(widest, max(seen.values(), default=0)))

    @contextlib.contextmanager
    def in_float32(self) -> Iterator[None]:
        """While the block runs the network computes in full precision."""
        before, self._precision = self._precision, torch.float32
        try:
            yield
        finally:
            self._precision = before

    def _pixel_losses(self, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The losses that need no network."""
        zero = torch.zeros((), device=image.device)
        losses = {"temporal": zero, "total_variation": zero}
        if self._weights.temporal:
            for past in targets.past:
                of_one = temporal_loss(image, past.warped, past.weight).sum()
                losses["temporal"] = losses["temporal"] + of_one
        if self._weights.total_variation:
            losses["total_variation"] = total_variation_loss(image).sum()
        return losses

    def _content(self, features: Mapping[str, Tensor], targets: Targets) -> Tensor:
        return torch.stack(
            [
                content_loss(features[layer], targets.content[layer]).sum()
                for layer in self._content_layers
            ]
        ).sum()

    def _weighted(self, losses: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
        return torch.stack([getattr(self._weights, name) * losses[name] for name in names]).sum()

    def _backward_by_tiles(self, image: Tensor, targets: Targets) -> dict[str, Tensor]:
        whole = image.detach()
        with torch.no_grad():
            sums, divisors = self._gram_sums(whole, targets.style_weights)
        style = torch.zeros((), device=image.device)
        slopes: dict[str, Tensor] = {}
        for layer in self._style_layers:
            total = sums[layer].requires_grad_(True)
            loss = style_loss(total / divisors[layer], targets.grams[layer]).sum()
            weight = self._scale(image) * self._weights.style
            (slope,) = torch.autograd.grad(weight * loss, total)
            slopes[layer], style = slope, style + loss.detach()
        content = torch.zeros((), device=image.device)
        gradient = torch.zeros_like(whole)
        for tile in self._tiles(whole):
            part = tile.crop(whole).clone().requires_grad_(True)
            features = self._features(part)
            # Its gradient is the whole style loss's: a Gram matrix is a sum over parts.
            pull = torch.zeros((), device=image.device)
            for layer in self._style_layers:
                of_layer = tile.core(features[layer], self._stride_of(layer))
                weight = self._core_weight(targets.style_weights, layer, tile)
                pull = pull + (slopes[layer] * gram_sum(of_layer, weight)).sum()
            for layer in self._content_layers:
                of_layer = tile.core(features[layer], self._stride_of(layer))
                target = tile.place(targets.content[layer], self._stride_of(layer))
                share = of_layer.numel() / targets.content[layer].numel()
                loss = share * content_loss(of_layer, target).sum()
                pull = pull + self._scale(image) * self._weights.content * loss
                content = content + loss.detach()
            (slope,) = torch.autograd.grad(pull, part)
            tile.add(gradient, slope)
        _add(image, gradient / self._scale(image))
        return {"content": content, "style": style}

    def _gram_sums(
        self, image: Tensor, style_weights: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        sums: dict[str, Tensor] = {}
        for tile in self._tiles(image):
            features = self._features(tile.crop(image))
            for layer in self._style_layers:
                of_layer = tile.core(features[layer], self._stride_of(layer))
                part = gram_sum(of_layer, self._core_weight(style_weights, layer, tile))
                sums[layer] = part if layer not in sums else sums[layer] + part
        divisors = {}
        for layer in self._style_layers:
            by = self._stride_of(layer)
            size = (sums[layer].shape[-1], image.shape[-2] // by, image.shape[-1] // by)
            shaped = torch.empty((), device=image.device).expand(size)
            divisors[layer] = gram_divisor(shaped, style_weights.get(layer))
        return sums, divisors

    def _core_weight(
        self, style_weights: Mapping[str, Tensor], layer: str, tile: Tile
    ) -> Tensor | None:
        if layer not in style_weights:
            return None
        return tile.place(style_weights[layer], self._stride_of(layer))

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        if image.is_cuda:  # on a CPU the Gram matrices' copies cost more than convolutions gain
            image = image.contiguous(memory_format=torch.channels_last)
        with self._autocast(image.device):
            return self._network(image)

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        if self._precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self._precision)

    def _scale(self, image: Tensor) -> float:
        """What a loss is multiplied by on its way back through the network: the gradients of means
        over all positions would vanish in float16."""
        is_narrow = self._precision == torch.float16
        return float(image.shape[-2] * image.shape[-1]) if is_narrow else 1.0

    def _stride_of(self, layer: str) -> int:
        return stride(layer)

    def _is_cut(self, image: Tensor) -> bool:
        return self.tile is not None and max(image.shape[-2:]) > self.tile

    def _tiles(self, image: Tensor) -> Iterator[Tile]:
        for row in self._rows(image):
            yield from row

    def _rows(self, image: Tensor) -> list[list[Tile]]:
        height, width = image.shape[-2:]
        side = self.tile if self.tile is not None and self._is_cut(image) else max(height, width)
        return tiles_of(height, width, side, step=self._stride, halo=self.halo)


def _add(image: Tensor, gradient: Tensor) -> None:
    # Laid out as the picture, which torch's L-BFGS takes for granted: networks on GPUs answer with
    # channels last.
    gradient = gradient.contiguous()
    image.grad = gradient if image.grad is None else image.grad + gradient
