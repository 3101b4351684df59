"""Curves of several seeds as one: their mean and its confidence band."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Curve = tuple[np.ndarray, np.ndarray]
"""x (N,) ascending, and y (N,)."""

_MEAN, _SEED = "#1f6feb", "#8b949e"
_GROUPS = ("#1f6feb", "#d1495b", "#2e8b57", "#8250df", "#bf8700", "#57606a", "#0a9396", "#e36209")


@dataclass(frozen=True, kw_only=True)
class Band:
    """A mean curve with the confidence interval of the mean at each point."""

    x: np.ndarray
    """(N,) float64, where all curves have values."""
    mean: np.ndarray
    """(N,) float64."""
    low: np.ndarray
    """(N,) float64."""
    high: np.ndarray
    """(N,) float64."""
    num_curves: int


def confidence_band(
    curves: Sequence[Curve], *, level: float = 0.95, num_points: int = 200
) -> Band | None:
    """The mean of curves and its Student's t interval, from the latest start to the first end.

    The interval takes the curves, one a seed, for independent and their values at a point for
    normally distributed; with few seeds it is wide, as it should be.

    Args:
        curves: At least 2; each is interpolated linearly. Points that are not finite are left out.
        level: Confidence (0 to 1).
        num_points: N.

    Returns:
        None where the curves have no stretch in common.

    Raises:
        ValueError: for fewer than 2 curves.
    """
    from scipy import stats

    if len(curves) < 2:
        raise ValueError(f"{len(curves)} curve: a confidence band needs at least 2")
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in map(_arrays, curves)]
    if not all(len(x) for x, _ in finite):
        return None
    start, end = max(x[0] for x, _ in finite), min(x[-1] for x, _ in finite)
    if start > end:
        return None
    at = np.linspace(start, end, num_points if start < end else 1)
    values = np.stack([np.interp(at, x, y) for x, y in finite])
    mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
    quantile = stats.t.ppf((1 + level) / 2, len(values) - 1)
    half = quantile * deviation / np.sqrt(len(values))
    return Band(x=at, mean=mean, low=mean - half, high=mean + half, num_curves=len(values))


def band_figure(
    panels: Mapping[str, Sequence[Curve]], xlabel: str, title: str, *, level: float = 0.95
) -> bytes:
    """A PNG with a panel for each quantity: every seed faintly, their mean, and its band.

    Args:
        panels: by the name of the quantity, the curves of the seeds, at least 2.
        xlabel: below each panel.
        title: above all.
        level: Confidence (0 to 1).
    """
    # The object-oriented way: pyplot keeps figures, and a backend, for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(5.6 * len(panels), 4.2), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    for i, (name, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for x, y in curves:
            axes.plot(x, y, color=_SEED, linewidth=0.8, alpha=0.6)
        band = confidence_band(curves, level=level)
        if band is not None:
            words = f"mean of {band.num_curves} seeds, {level:.0%} confidence"
            axes.fill_between(band.x, band.low, band.high, color=_MEAN, alpha=0.2, linewidth=0)
            axes.plot(band.x, band.mean, color=_MEAN, linewidth=2, label=words)
            axes.legend(loc="best", frameon=False, fontsize=9)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        axes.margins(x=0.01)
        if axes.get_xlim()[1] >= 10_000:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def groups_figure(
    groups: Mapping[str, Sequence[Curve]], xlabel: str, ylabel: str, title: str
) -> bytes:
    """A PNG with one curve for each group: the mean of its seeds, and its standard error as a band.

    Args:
        groups: by name, the curves of the seeds; of one alone there is no band.
        xlabel: below.
        ylabel: beside.
        title: above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7.2, 4.4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=12, fontweight="bold", loc="left")
    for i, (name, curves) in enumerate(groups.items()):
        color, style = _GROUPS[i % len(_GROUPS)], "--" if i >= len(_GROUPS) else "-"
        if len(curves) == 1:
            axes.plot(*curves[0], color=color, linestyle=style, linewidth=2, label=name)
            continue
        # One standard error on either side is so much confidence by Student's t.
        band = confidence_band(curves, level=_one_error(len(curves)))
        if band is None:
            continue
        axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.18, linewidth=0)
        words = f"{name} ({band.num_curves} seeds)"
        axes.plot(band.x, band.mean, color=color, linestyle=style, linewidth=2, label=words)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=9)
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def _one_error(number: int) -> float:
    """The confidence whose interval is one standard error on either side."""
    from scipy import stats

    return 2 * float(stats.t.cdf(1, number - 1)) - 1


def _arrays(curve: Curve) -> Curve:
    x, y = (np.asarray(values, np.float64) for values in curve)
    return x, y
