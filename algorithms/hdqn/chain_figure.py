"""The comparison on the chain as a picture: reward and visits of states, as training goes on."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

_COLORS = {"h-DQN": "#1f6feb", "Q-learning": "#8b949e"}
_STATES = {2: "#d29922", 3: "#3fb950", 4: "#a371f7", 5: "#d1242f"}  # s3 to s6


def chain_figure(
    reward: Mapping[str, np.ndarray],
    visits: Mapping[str, np.ndarray],
    window: int,
    optimum: float,
) -> bytes:
    """The figure as a PNG.

    Args:
        reward: By learner, (seeds, W) mean reward of an episode in each window.
        visits: By learner, (W, 6) mean visits of each state in an episode.
        window: Episodes in a window.
        optimum: What no learner exceeds but by chance, as a line.
    """
    # The object-oriented way: pyplot keeps figures, and a backend, for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(5.6 * (1 + len(visits)), 4.2), dpi=120, layout="constrained")
    axes = figure.subplots(1, 1 + len(visits), squeeze=False)[0]
    axes[0].axhline(optimum, color="#57606a", linewidth=1, linestyle=(0, (4, 3)))
    axes[0].annotate(
        "always right, with one level's random actions",
        (0.02, optimum),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color="#57606a",
        fontsize=8,
    )
    for name, curves in reward.items():
        at = window * (1 + np.arange(curves.shape[1]))
        mean, spread = curves.mean(axis=0), curves.std(axis=0)
        label = f"{name}, {len(curves)} seeds"
        axes[0].plot(at, mean, color=_COLORS[name], linewidth=2, label=label)
        axes[0].fill_between(
            at, mean - spread, mean + spread, color=_COLORS[name], alpha=0.2, linewidth=0
        )
    axes[0].set_title("Extrinsic reward", fontweight="bold")
    axes[0].set_ylabel(f"mean of {window:,} episodes")
    axes[0].set_ylim(0, max(0.2, 1.15 * optimum))
    axes[0].legend(loc="upper left", bbox_to_anchor=(0.0, 0.82), frameon=False, fontsize=9)
    highest = max(float(v[:, list(_STATES)].max()) for v in visits.values())
    for panel, (name, counts) in zip(axes[1:], visits.items(), strict=True):
        at = window * (1 + np.arange(len(counts)))
        for state, color in _STATES.items():
            panel.plot(at, counts[:, state], color=color, linewidth=1.6, label=f"s{state + 1}")
        panel.set_title(f"{name}: visits of states", fontweight="bold")
        panel.set_ylabel("an episode")
        panel.set_ylim(0, 1.08 * highest)
        panel.legend(loc="upper left", frameon=False, fontsize=9, ncols=len(_STATES))
    for panel in axes:
        panel.set_xlabel("episodes")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", alpha=0.3)
        panel.margins(x=0.01)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
