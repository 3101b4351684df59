"""A film whose motion is known exactly: a background that pans, and a disc that moves before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_NUM_WAVES = 24
_WAVELENGTHS_PX = 6.0, 80.0


@dataclass(frozen=True, kw_only=True)
class MovingScene:
    """Both have a texture of their own, of smooth waves that can be drawn at any position."""

    height: int
    width: int
    radius: float
    """Of the disc, in pixels; 0 for a pan alone."""
    pan: tuple[float, float] = (3.0, 1.0)
    """Motion of the background, (dx, dy) in pixels a frame."""
    velocity: tuple[float, float] = (-5.0, 2.0)
    """Of the disc, likewise."""
    center: tuple[float, float] | None = None
    """Of the disc in frame 0, column and row; by default the middle of the frame."""
    seed: int = 0
    """Of the textures."""

    def frame(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB; the disc's edge is smoothed over one pixel."""
        background = self._texture(index, self.pan, self.seed, 110)
        disc = self._texture(index, self.velocity, self.seed + 1, 150)
        coverage = np.clip(0.5 - self._distance(index), 0, 1)[..., np.newaxis]
        mixed = coverage * disc + (1 - coverage) * background
        return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)

    def disc(self, index: int) -> np.ndarray:
        """bool (H, W): the pixels of a frame whose centre the disc covers."""
        return self._distance(index) < 0

    def flow(self, a: int, b: int) -> np.ndarray:
        """float32 (2, H, W): of frame a to frame b, on a's grid."""
        moves = (np.array(v, np.float32).reshape(2, 1, 1) for v in (self.velocity, self.pan))
        of_disc, of_background = moves
        return np.where(self.disc(a), of_disc, of_background) * np.float32(b - a)

    def occluded(self, since: int, to: int) -> np.ndarray:
        """bool (H, W): the pixels of frame `to` that frame `since` does not show.

        They are background, and were behind the disc; or they were outside the frame.
        """
        dx, dy = self.flow(to, since).astype(np.float64)
        x, y = np.arange(self.width) + dx, np.arange(self.height)[:, np.newaxis] + dy
        outside = (x < 0) | (x > self.width - 1) | (y < 0) | (y > self.height - 1)
        hidden = ~self.disc(to) & (self._distance(since, x, y) < 0)
        return outside | hidden

    def _distance(
        self, index: int, x: np.ndarray | None = None, y: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W): of each pixel, or of other points, from the disc's edge; negative in it."""
        left, top = self.center or ((self.width - 1) / 2, (self.height - 1) / 2)
        x = np.arange(self.width) if x is None else x
        y = np.arange(self.height)[:, np.newaxis] if y is None else y
        across, down = x - left - self.velocity[0] * index, y - top - self.velocity[1] * index
        return np.hypot(across, down) - self.radius

    def _texture(
        self, index: int, velocity: tuple[float, float], seed: int, mean: float
    ) -> np.ndarray:
        """float (H, W, 3), moved by so many frames."""
        rng = np.random.default_rng(seed)
        shape = 3, _NUM_WAVES
        shortest, longest = _WAVELENGTHS_PX
        lengths = shortest * (longest / shortest) ** rng.uniform(size=shape)
        turns = rng.uniform(0, 2 * np.pi, shape)
        phases = rng.uniform(0, 2 * np.pi, shape)
        heights = 90 * lengths**0.5 / (lengths**0.5).sum(axis=1, keepdims=True) * 2
        x = np.arange(self.width) - velocity[0] * index
        y = np.arange(self.height) - velocity[1] * index
        # cos(a + b) = cos a cos b - sin a sin b: two products of matrices draw all waves.
        a = (2 * np.pi / lengths * np.cos(turns))[..., np.newaxis] * x + phases[..., np.newaxis]
        b = (2 * np.pi / lengths * np.sin(turns))[..., np.newaxis] * y
        across = heights[..., np.newaxis]
        waves = np.einsum("cky,ckx->yxc", across * np.cos(b), np.cos(a), optimize=True)
        waves -= np.einsum("cky,ckx->yxc", across * np.sin(b), np.sin(a), optimize=True)
        return mean + waves
