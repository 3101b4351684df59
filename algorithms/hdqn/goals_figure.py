"""What became of goals as training went on: how often each was chosen, and how often reached."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

_COLORS = (
    "#d29922",
    "#1f6feb",
    "#3fb950",
    "#a371f7",
    "#d1242f",
    "#1b9e9e",
    "#e377c2",
    "#6e5038",
    "#9acd32",
)
_OTHERS = "#b1bac4"
_MAX_STRETCHES = 40
_KEYS = ("tried", "reached", "success_rate", "epsilon")


@dataclass(frozen=True, kw_only=True, eq=False)
class GoalHistory:
    """What became of goals, G, at T moments of a run."""

    names: Sequence[str]
    """Of the goals."""
    frames: np.ndarray
    """(T,) int64, ascending: emulator frames so far."""
    tried: np.ndarray
    """(G, T), tries that had ended."""
    reached: np.ndarray
    """(G, T), those that had reached their goal."""
    success_rate: np.ndarray
    """(G, T), of the latest tries, 0 to 1."""
    epsilon: np.ndarray
    """(G, T), chance of a random action while the goal is pursued."""

    @classmethod
    def of(
        cls, scalars: Mapping[str, tuple[np.ndarray, np.ndarray]], order: Sequence[str] = ()
    ) -> Self | None:
        """From a run's scalars; None before its first iteration is over.

        Args:
            scalars: As `read_scalars` gives them.
            order: Names of goals in the order to take; others follow.
        """
        names = [tag[len("goal/") : -len("/tried")] for tag in scalars if _is_count(tag)]
        names.sort(key=lambda name: order.index(name) if name in order else len(order))
        tags = {key: [f"goal/{name}/{key}" for name in names] for key in _KEYS}
        every = [tag for own in tags.values() for tag in own]
        if not names or not set(every) <= set(scalars):
            return None
        # The latest moment of a run that was killed may lack some of them.
        frames = functools.reduce(np.intersect1d, (scalars[tag][0] for tag in every))
        if not len(frames):
            return None
        arrays = {
            key: np.stack([_at(frames, *scalars[tag]) for tag in own]) for key, own in tags.items()
        }
        return cls(names=names, frames=frames, **arrays)


def chosen_shares(history: GoalHistory) -> tuple[np.ndarray, np.ndarray]:
    """How the tries of each stretch of training were shared among the goals.

    Returns:
        Edges of the stretches, (S + 1,) frames, and shares, (G, S), 0 to 1; NaN where no try ended.
    """
    number = min(len(history.frames), _MAX_STRETCHES)
    at = np.linspace(0, len(history.frames), number + 1).round().astype(np.int64)
    edges = np.concatenate([[0], history.frames])[at]
    tried = np.pad(history.tried, ((0, 0), (1, 0)))[:, at]
    counts = np.diff(tried, axis=1)
    totals = counts.sum(axis=0)
    return edges, np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def goals_figure(history: GoalHistory, phase1_end: int, xlabel: str, title: str) -> bytes:
    """The figure as a PNG: the goals chosen in each stretch of training, and how often they were
    reached.

    Args:
        history: What became of the goals, of at least one moment.
        phase1_end: Frame with which phase 2 begins.
        xlabel: What frames are.
        title: Above it.
    """
    # The object-oriented way: pyplot keeps figures, and a backend, for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    edges, shares = chosen_shares(history)
    shown, others = _shown(history)
    layers = [(history.names[i], _COLORS[n], shares[i]) for n, i in enumerate(shown)]
    if others:
        layers.append((f"{len(others)} others", _OTHERS, shares[others].sum(axis=0)))
    figure = Figure(figsize=(9.0, 6.4), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    base = np.zeros(shares.shape[1])
    for name, color, share in layers:
        top = base + np.nan_to_num(share)
        above.stairs(top, edges, baseline=base, fill=True, color=color, label=name, linewidth=0)
        base = top
    above.set_title(title, fontweight="bold", pad=22)
    above.set_ylabel("goals chosen")
    above.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        reverse=True,
        handlelength=1.0,
        handleheight=1.0,
    )
    for n, i in enumerate(shown):
        below.plot(history.frames, history.success_rate[i], color=_COLORS[n], linewidth=1.8)
    below.set_ylabel("reached, of the latest 100 tries")
    below.set_xlabel(xlabel)
    below.grid(axis="y", alpha=0.3)
    below.spines[["top", "right"]].set_visible(False)
    above.spines[["top", "right", "left", "bottom"]].set_visible(False)
    above.tick_params(axis="x", length=0)
    last = float(edges[-1])
    for axes in (above, below):
        axes.set_xlim(0, last)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if 0 < phase1_end < last:
        above.axvline(phase1_end, color="white", linewidth=2)
        below.axvline(phase1_end, color="#57606a", linewidth=1, linestyle=(0, (4, 3)))
    for start, end, words in (
        (0, phase1_end, "phase 1: at random"),
        (phase1_end, last, "phase 2: by the meta-controller"),
    ):
        middle = (start + min(end, last)) / 2
        if min(end, last) - start > 0.2 * last:
            above.annotate(
                words,
                (middle, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color="#57606a",
            )
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def _shown(history: GoalHistory) -> tuple[list[int], list[int]]:
    """The goals with a colour of their own, in their order, and those that share the last."""
    if len(history.names) <= len(_COLORS):
        return list(range(len(history.names))), []
    most = np.argsort(-history.tried[:, -1], kind="stable")
    chosen = np.sort(most[: len(_COLORS)]).tolist()
    return chosen, [i for i in range(len(history.names)) if i not in chosen]


def _is_count(tag: str) -> bool:
    return tag.startswith("goal/") and tag.endswith("/tried")


def _at(frames: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values[np.searchsorted(steps, frames)]
