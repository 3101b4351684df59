"""The predicted value over a stretch of a game, with the frames at its turning points.

Mnih et al. 2013, section 5.2 and figure 3: the value jumps when an enemy appears, peaks as the shot
is about to hit, and falls when the enemy is gone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STRETCH_STEPS = 120
"""Steps shown at most: eight seconds at four frames a step."""
_MAX_POINTS = 4
_LEAST_PROMINENCE = 0.15  # of the stretch's range, for a turn to be one
_ROOM_STEPS = 5  # that a number on the figure takes
_LINE, _POINT, _REWARD = "#1f6feb", "#d1242f", "#8b949e"


def stretch_of(values: np.ndarray, length: int = STRETCH_STEPS) -> slice:
    """The stretch in which the value moves most, with its highest and lowest point amid it.

    Args:
        values: (T,) float, T at least 1.
        length: Steps of it; all of a shorter game.
    """
    if len(values) <= length:
        return slice(0, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    first = int((windows.max(axis=1) - windows.min(axis=1)).argmax())
    inside = values[first : first + length]
    middle = first + int(inside.argmax() + inside.argmin() + 1) // 2
    start = min(max(0, middle - length // 2), len(values) - length)
    return slice(start, start + length)


def turning_points(values: np.ndarray, most: int = _MAX_POINTS) -> list[int]:
    """Where a curve turns: its most prominent peaks and valleys, in order.

    Args:
        values: (T,) float.
        most: At most so many.

    Returns:
        Indices, ascending, at least a fifteenth of T apart; of a curve without turns, its ends.
    """
    from scipy.signal import find_peaks

    span = float(values.max() - values.min())
    if span == 0:
        return [0]
    found: list[tuple[float, int]] = []
    for sign in (1.0, -1.0):
        at, how = find_peaks(sign * values, prominence=_LEAST_PROMINENCE * span)
        found += zip(how["prominences"].tolist(), at.tolist(), strict=True)
    # The extremes count too where they lie at an end, which no search for turns sees.
    found += [(span, int(values.argmax())), (span, int(values.argmin()))]
    chosen: list[int] = []
    for _, index in sorted(found, key=lambda pair: (-pair[0], pair[1])):
        if len(chosen) < most and all(abs(index - c) >= max(2, len(values) // 15) for c in chosen):
            chosen.append(index)
    return sorted(chosen)


def value_figure(
    values: Sequence[float] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    picture: Callable[[int], np.ndarray],
    title: str,
) -> bytes:
    """The figure as a PNG.

    Args:
        values: (T,) the predicted value at each step of a game, T at least 1.
        scores: (T,) the game's points so far, at each step; a line marks where they change.
        picture: gives the screen at a step, uint8 (H, W, 3).
        title: above it.
    """
    # The object-oriented way: pyplot keeps figures, and a backend, for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values, scores = np.asarray(values, np.float64), np.asarray(scores, np.float64)
    part = stretch_of(values)
    steps, shown = np.arange(len(values))[part], values[part]
    points = turning_points(shown)
    pictures = [picture(int(steps[i])) for i in points]
    height, width = pictures[0].shape[:2]
    num_columns = max(3, len(points))
    heights = [3.2, 8.6 / num_columns * height / width]
    figure = Figure(figsize=(9.0, sum(heights)), dpi=120, layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    axes = above.add_subplot()
    axes.set_title(title, fontsize=12, fontweight="bold")
    written = -_ROOM_STEPS
    for step in 1 + np.flatnonzero(np.diff(scores)):
        if part.start < step < part.stop:
            change = scores[step] - scores[step - 1]
            axes.axvline(step, color=_REWARD, linewidth=1, linestyle=(0, (4, 3)))
            if step - written < _ROOM_STEPS:
                continue  # its number would be written over that one
            written = step
            axes.annotate(
                f"{change:+g}",
                (step, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                color=_REWARD,
                fontsize=9,
            )
    axes.plot(steps, shown, color=_LINE, linewidth=1.8)
    margin = 0.16 * float(np.ptp(shown)) or 1.0
    axes.set_ylim(shown.min() - margin, shown.max() + margin)
    for name, i in zip("ABCDEFGH", points, strict=False):
        axes.plot(steps[i], shown[i], "o", color=_POINT, markersize=6)
        is_high = shown[i] >= np.median(shown)
        axes.annotate(
            name,
            (steps[i], shown[i]),
            xytext=(0, 8 if is_high else -8),
            textcoords="offset points",
            ha="center",
            va="bottom" if is_high else "top",
            color=_POINT,
            fontweight="bold",
        )
    axes.set_xlabel("step of the game")
    axes.set_ylabel("predicted value, max Q")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.02)
    for i, axes in enumerate(np.atleast_1d(below.subplots(1, num_columns))):
        axes.set_axis_off()
        if i < len(points):
            axes.imshow(pictures[i], interpolation="nearest")
            step, value = int(steps[points[i]]), shown[points[i]]
            axes.set_title(f"{'ABCDEFGH'[i]}: step {step:,}, {value:.2f}", fontsize=10)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
