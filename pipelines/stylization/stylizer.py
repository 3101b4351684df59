"""Paints one frame: the network, the style and the search, on one device."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from arcadia.errors import UserError
from arcadia.media import resized
from arcadia.precision import dtype_on
from pipelines.flow import Motion, warp
from pipelines.stylization.config import SHORTEST_SIDE_PX, StyleOptions
from pipelines.stylization.losses import long_term_weights
from pipelines.stylization.networks import load_vgg
from pipelines.stylization.objective import LossWeights, Objective, Past, Targets
from pipelines.stylization.optimise import Found, minimise

SMALLEST_TILE_PX = 64
# Noise that frames begin from: standard deviation, of 255, around the mean colour, and that of the
# Gaussian in pixels that smooths it. The authors' is white and 1e-3: from a picture so flat L-BFGS
# without line search may leap away, and then hardly moves for a hundred iterations, until its
# history has forgotten the leap. Strong white noise is left again, but its grain stays in the
# result: the network hardly sees it.
_NOISE, _NOISE_SIGMA = 40.0, 1.0


class Neighbour(NamedTuple):
    """A frame whose result is there, and how it moves to the frame that is painted."""

    result: np.ndarray
    """uint8 (H, W, 3)."""
    motion: Motion


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A finished frame."""

    image: np.ndarray
    """uint8 (H, W, 3) RGB."""
    iterations: int
    seconds: float
    losses: Mapping[str, float]
    """Of the picture, before it was rounded: total (weighted), content, style, temporal,
    total_variation."""
    diverged: bool
    """Whether the search had to be broken off, after a second try in float32; the picture is the
    best that it came by."""


class Stylizer:
    """Paints frames in one style.

    Args:
        options: how.
        style_hwc: the style's picture, uint8 (H, W, 3).
        style_map_hw: where the style counts, float32 (H, W) in 0..1; None: everywhere.
        device: where the network runs.
        seed: of the noise that frames begin from; each has its own.
    """

    def __init__(
        self,
        options: StyleOptions,
        style_hwc: np.ndarray,
        *,
        style_map_hw: np.ndarray | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ):
        self.options = options
        self.device = torch.device(device)
        self._style = style_hwc
        self._style_map = style_map_hw
        self._seed = seed
        layers = dict.fromkeys((*options.content_layers, *options.style_layers))
        network = load_vgg(options.network, list(layers), options.weights, pooling=options.pooling)
        network = network.to(self.device)
        if self.device.type == "cuda":
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = network.mean
        is_multipass = options.is_multipass
        weights = LossWeights(
            content=options.content_weight,
            style=options.style_weight,
            temporal=options.multipass_temporal_weight if is_multipass else options.temporal_weight,
            total_variation=options.total_variation_weight,
        )
        self._objective = Objective(
            network,
            weights,
            content_layers=options.content_layers,
            style_layers=options.style_layers,
            precision=dtype_on(self.device, options.precision),
            tile=options.tile,
        )
        self._search = options.optimiser_options()
        self._of_size: dict[tuple[int, int], tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def paint(
        self,
        number: int,
        content_hwc: np.ndarray,
        past: Sequence[Neighbour] = (),
        *,
        start: np.ndarray | None,
        iterations: int,
        check: Callable[[int], None] = lambda iteration: None,
    ) -> Painted:
        """Searches the picture of one frame.

        Args:
            number: of the frame, for its noise.
            content_hwc: its source, uint8 (H, W, 3).
            past: earlier results to continue, the nearest first; where a nearer one holds, farther
                ones do not count.
            start: float32 or uint8 (H, W, 3) to begin from; None: noise.
            iterations: at most so many.
            check: called before each iteration; what it raises ends the search.
        """
        began = time.perf_counter()
        height, width, _ = content_hwc.shape
        grams, style_weights = self._style_at((height, width))
        targets = Targets(
            content=self._objective.content_targets(self._tensor(content_hwc)),
            grams=grams,
            past=self._continued(past),
            style_weights=style_weights,
        )
        first = self._noise(number, height, width) if start is None else self._tensor(start)
        losses: dict[str, Tensor] = {}

        def backward(image: Tensor) -> Tensor:
            losses.update(self._objective.backward(image, targets))
            return losses["total"]

        found = minimise(backward, first, iterations, self._search, check)
        if found.diverged:
            found = self._second_try(backward, found, iterations, check)
        picture = found.image[0].clamp(0, 255).round().to(torch.uint8)
        return Painted(
            image=np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()),
            iterations=found.iterations,
            seconds=time.perf_counter() - began,
            losses={name: float(loss) for name, loss in losses.items()},
            diverged=found.diverged,
        )

    def needed_bytes(self, size: tuple[int, int]) -> float:
        """Memory that one gradient takes for a frame of (height, width), less the optimiser's."""
        tile = self._objective.tile
        shown = math.inf if tile is None else tile + 2 * self._objective.halo
        return self._saved_bytes_per_pixel * math.prod(min(side, shown) for side in size)

    def _second_try(
        self,
        backward: Callable[[Tensor], Tensor],
        found: Found,
        iterations: int,
        check: Callable[[int], None],
    ) -> Found:
        """Goes on from the best picture in float32, with a new history."""
        left = max(iterations - found.iterations, min(iterations, self._search.stop_window))
        with self._objective.in_float32():
            second = minimise(backward, found.image, left, self._search, check)
            if second.diverged:
                leaf = second.image.clone().requires_grad_(True)
                backward(leaf)  # the losses of the picture that is kept
        return dataclasses.replace(second, iterations=found.iterations + second.iterations)

    def fit(self, size: tuple[int, int], available_bytes: float) -> None:
        """Lets the network see frames of (height, width) in parts when they do not fit otherwise;
        see `Objective`. Where the options name a tile, it stays.

        Raises:
            UserError: the smallest parts do not fit either.
        """
        if self.options.tile is not None:
            return
        self._objective.tile = None
        for tile in (None, *range(max(size) // 16 * 16, SMALLEST_TILE_PX - 1, -16)):
            self._objective.tile = tile
            if self.needed_bytes(size) <= available_bytes:
                return
        raise UserError(
            f"size {max(size)}: {self.needed_bytes(size) / 1e9:.2g} GB are needed for the network "
            f"and {max(available_bytes, 0) / 1e9:.2g} GB are there; give a smaller --size, or "
            "--optimiser adam, which needs no history"
        )

    @functools.cached_property
    def _saved_bytes_per_pixel(self) -> float:
        side = 4 * SHORTEST_SIDE_PX
        return (
            self._objective.saved_bytes(torch.zeros(1, 3, side, side, device=self.device)) / side**2
        )

    def warped(self, neighbour: Neighbour) -> np.ndarray:
        """A neighbour's result on this frame's grid: float32 (H, W, 3)."""
        flow = torch.from_numpy(neighbour.motion.flow).to(self.device)
        moved = warp(self._tensor(neighbour.result), flow)
        return moved[0].permute(1, 2, 0).cpu().numpy()

    def _continued(self, past: Sequence[Neighbour]) -> list[Past]:
        masks = [torch.from_numpy(n.motion.mask).to(self.device)[None] for n in past]
        continued = []
        for neighbour, weight in zip(past, long_term_weights(masks), strict=True):
            flow = torch.from_numpy(neighbour.motion.flow).to(self.device)
            moved = warp(self._tensor(neighbour.result), flow)
            continued.append(Past(warped=moved, weight=weight))
        return continued

    def _style_at(self, size: tuple[int, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The style's Gram matrices and weights for frames of a size, computed once."""
        if size not in self._of_size:
            height, width = self._style.shape[:2]
            scale = self.options.style_scale * max(size) / max(height, width)
            shape = tuple(max(round(side * scale), SHORTEST_SIDE_PX) for side in (height, width))
            style = resized(self._style, (shape[0], shape[1]))
            weights: dict[str, Tensor] = {}
            if self._style_map is not None:
                where = torch.from_numpy(resized(self._style_map, size)).to(self.device)
                weights = self._objective.style_weights(where.clamp(0, 1))
            self._of_size[size] = (self._objective.style_grams(self._tensor(style)), weights)
        return self._of_size[size]

    def _noise(self, number: int, height: int, width: int) -> Tensor:
        rng = np.random.default_rng((self._seed, number))
        white = rng.standard_normal((height, width, 3), np.float32)
        smooth = cv2.GaussianBlur(white, (0, 0), _NOISE_SIGMA)
        return self._tensor(smooth * (_NOISE / smooth.std())) + self._mean

    def _tensor(self, image_hwc: np.ndarray) -> Tensor:
        # Copied: arrays of Ray's are not writable, and torch warns of those.
        tensor = torch.from_numpy(np.array(image_hwc)).to(self.device)
        return tensor.permute(2, 0, 1)[None].float().contiguous()
