"""Noisy activations drawn: what comes out by what goes in, with a band for the noise."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch

from algorithms.noisy.functions import HALF_NORMAL_MEAN, HARD_SIGMOID, HARD_TANH, Hard, noisy

_COLORS = ("#1f6feb", "#d1495b", "#2e8b57", "#8250df")


def activation_figure(
    *,
    alphas: Sequence[float] = (0.9, 1.0, 1.15, 1.3),
    c: float = 2.0,
    p: float = 1.0,
    half_normal: bool = False,
    hards: Sequence[Hard] = (HARD_TANH, HARD_SIGMOID),
    title: str = "",
) -> bytes:
    """A PNG with a panel for each function.

    Bands reach from the 5th to the 95th percentile of the noise, lines are its mean.

    Args:
        alphas: a line each.
        c: how much noise.
        p: of sigma.
        half_normal: of the noise.
        hards: the functions.
        title: above all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    low, mean, high = (0.0627, HALF_NORMAL_MEAN, 1.96) if half_normal else (-1.645, 0.0, 1.645)
    figure = Figure(figsize=(5.6 * len(hards), 4.2), dpi=120, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    for i, hard in enumerate(hards):
        axes = figure.add_subplot(1, len(hards), i + 1)
        reach = 3 * hard.threshold
        x = torch.linspace(-reach, reach, 601, dtype=torch.float64)
        for alpha, color in zip(alphas, _COLORS, strict=False):
            bottom, middle, top = (
                noisy(x, x.new_tensor(p), x.new_tensor(z), x.new_tensor(c), alpha=alpha, hard=hard)
                for z in (low, mean, high)
            )
            edges = np.sort(np.stack([bottom, top]), axis=0)
            axes.fill_between(x, *edges, color=color, alpha=0.15, linewidth=0)
            axes.plot(x, middle, color=color, linewidth=1.8, label=f"alpha = {alpha:g}")
        axes.set_xlabel("x")
        axes.set_ylabel("hard tanh" if hard == HARD_TANH else "hard sigmoid")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


if __name__ == "__main__":
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_bytes(activation_figure(title="Noisy activations, c = 2, normal noise"))
