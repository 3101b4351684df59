"""Sheets of photographs and the colours that a network gives them, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from arcadia.media import draw_label
from pipelines.colorization import Colorizer
from pipelines.colorization.coloring.brush import Brush, features_of

_CELL = 144
_SEEN = 64  # pixels of the longest side that the network sees, as it was trained on small pictures


class Sheets:
    """Sheets of photographs.

    Args:
        network: that colours them, in evaluation mode.
        photographs: uint8 (H, W, 3), sixteen of them.
    """

    def __init__(self, network: Colorizer, photographs: Sequence[np.ndarray]):
        self._network = network
        self._shown = [_square(photograph) for photograph in photographs]

    def beside_the_truth(self) -> np.ndarray:
        """All of them in grey, as they are coloured, and as they are."""
        halves = []
        for half in (self._shown[:8], self._shown[8:]):
            rows = {"grey": [_grey(i) for i in half], "coloured": self._colored(half)}
            halves.append(_rows(rows | {"truth": half}))
        return np.concatenate(halves)

    def in_the_style_of_others(self) -> np.ndarray:
        """Some, each by itself and with the global features of five others."""
        contents = [self._shown[n] for n in (0, 2, 7, 10)]
        styles = [self._shown[n] for n in (3, 4, 6, 8, 14)]
        blank = np.full_like(self._shown[0], 255)
        top = [_labelled(blank, "grey"), _labelled(blank, "own features")]
        top += [_labelled(style, "features of") for style in styles]
        lines = [np.concatenate(top, axis=1)]
        for content in contents:
            line = [_grey(content), self._colored([content])[0]]
            for style in styles:
                features = features_of(self._network, style)
                line.append(Brush(self._network, features=features, size=_SEEN)(content[None])[0])
            lines.append(np.concatenate(line, axis=1))
        return np.concatenate(lines)

    def as_if_old(self) -> np.ndarray:
        """Eight with the marks of age, coloured, and as they were."""
        some = [self._shown[n] for n in (0, 2, 3, 7, 8, 10, 12, 13)]
        old = [aged(image, seed) for seed, image in enumerate(some)]
        return _rows({"as if old": old, "coloured": self._colored(old), "truth": some})

    def _colored(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(Brush(self._network, size=_SEEN)(np.stack(images)))


def aged(image: np.ndarray, seed: int) -> np.ndarray:
    """A photograph as if it were old: grey, of low contrast, blurred, with grain and scratches.

    Args:
        image: uint8 (H, W, 3).
        seed: of grain and scratches.

    Returns:
        uint8 (H, W, 3), all three channels equal.
    """
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
    faded = 60 + 0.55 * grey.astype(np.float32) + rng.normal(0, 7, grey.shape)
    for _ in range(6):  # nearly upright, as a film's
        x, slant = rng.integers(width), rng.integers(-12, 13)
        top, bottom = sorted(rng.integers(0, height, 2).tolist())
        cv2.line(faded, (int(x), top), (int(x + slant), bottom), float(rng.choice([30, 235])), 1)
    return np.repeat(faded.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    return cv2.resize(middle, (_CELL, _CELL), interpolation=cv2.INTER_AREA)


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _labelled(image: np.ndarray, label: str) -> np.ndarray:
    return draw_label(image.copy(), label, (4, 4), size=12)


def _rows(rows: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    return np.concatenate(
        [_labelled(np.concatenate(list(images), axis=1), name) for name, images in rows.items()]
    )
