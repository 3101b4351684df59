"""Curves as SVG that takes its colours from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Matplotlib wants colours; the page's style sheet has two sets. These stand in for its variables.
_VARIABLES = {
    "#00fe01": "var(--muted)",
    "#00fe02": "var(--grid)",
    "#00fe10": "var(--s0)",
    "#00fe11": "var(--s1)",
    "#00fe12": "var(--s2)",
    "#00fe13": "var(--s3)",
    "#00fe14": "var(--s4)",
    "#00fe15": "var(--s5)",
}
_MUTED, _GRID, *_SERIES = _VARIABLES
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))

_SMOOTH_FROM_POINTS = 50
_MAX_POINTS = 1500


def color(index: int) -> tuple[str, bool]:
    """The CSS colour of the series at `index`, and whether it is dashed: the seventh and on."""
    return _VARIABLES[_SERIES[index % len(_SERIES)]], index >= len(_SERIES)


def curve_svg(
    series: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
    xlabel: str,
    ylabel: str,
    *,
    wide: bool,
    salt: str,
) -> str:
    """An `<svg>` element to stand inside a page that defines `--muted`, `--grid`, `--s0` to `--s5`.

    A noisy series of more than 50 points is drawn faint, its running mean over a twentieth of it
    boldly on top.

    Args:
        series: by name, steps (N,) ascending and values (N,); points that are not finite are left
            out.
        xlabel: below the horizontal axis.
        ylabel: beside the vertical axis.
        wide: for the whole width of a page, otherwise for half of it.
        salt: differs among the curves of a page, whose identifiers must not clash.

    Returns:
        The element, or an empty string when no series has a point.
    """
    # The object-oriented way: pyplot keeps figures, and a backend, for the whole process.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    style: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: to select, to search, in the page's font
        "svg.hashsalt": salt,
        "text.parse_math": False,
        "font.size": 9,
        "path.simplify_threshold": 0.3,
    }
    with rc_context(style):
        figure = Figure(figsize=(10.4, 3.5) if wide else (5.0, 3.1), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        drawn = [_draw(axes, index, *pair) for index, pair in enumerate(series.values())]
        if not any(drawn):
            return ""
        axes.patch.set_alpha(0)
        axes.spines[:].set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=1)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_MUTED, length=0, pad=6)
        axes.set_xlabel(xlabel, color=_MUTED)
        axes.set_ylabel(ylabel, color=_MUTED)
        axes.margins(x=0.01, y=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(8 if wide else 5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if max(map(abs, ends)) >= 10_000:
                axis.set_major_formatter(EngFormatter(sep=""))
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return _inline(file.getvalue())


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The centred mean over `window` points, over fewer at the ends: float64 (N,) of (N,)."""
    before, after = (window - 1) // 2, window // 2 + 1
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    at = np.arange(len(values))
    first, last = np.maximum(at - before, 0), np.minimum(at + after, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _draw(axes: Any, index: int, steps: Any, values: Any) -> bool:
    steps, values = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if steps.shape != values.shape or steps.ndim != 1:
        raise ValueError(f"want steps and values of one length, got {steps.shape}, {values.shape}")
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if not len(steps):
        return False
    ink = _SERIES[index % len(_SERIES)]
    dash = _STYLES[index // len(_SERIES) % len(_STYLES)]
    shape: dict[str, Any] = {"color": ink, "linestyle": dash, "solid_capstyle": "round"}
    if len(steps) == 1:
        axes.plot(steps, values, color=ink, marker="o", markersize=5)
    elif _is_noisy(values):
        window = max(len(values) // 20, 5)
        axes.plot(*_thinned(steps, values), color=ink, linewidth=0.8, alpha=0.28)
        axes.plot(*_thinned(steps, running_mean(values, window)), linewidth=2, **shape)
    else:
        axes.plot(*_thinned(steps, values), linewidth=1.8, **shape)
    return True


def _is_noisy(values: np.ndarray) -> bool:
    """Whether neighbours differ by much of what the whole series spans."""
    if len(values) <= _SMOOTH_FROM_POINTS:
        return False
    spread = values.std()
    return bool(spread > 0 and np.diff(values).std() > 0.1 * spread)


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a long series the lowest and the highest point of each stretch: no spike is lost."""
    if len(values) <= _MAX_POINTS:
        return steps, values
    stretches = np.array_split(np.arange(len(values)), _MAX_POINTS // 2)
    extremes = [s[[values[s].argmin(), values[s].argmax()]] for s in stretches]
    keep = np.unique(np.concatenate([[0], *extremes, [len(values) - 1]]))
    return steps[keep], values[keep]


def _inline(svg: str) -> str:
    """The bare element of an SVG file, in the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    # Names of groups come again in every figure; nothing refers to them.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg.strip()
