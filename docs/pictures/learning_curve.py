"""Draws a run's learning curve for docs/results/dqn.md: training games, evaluations, and max-Q.

Run it from the repository: `.venv/bin/python docs/pictures/learning_curve.py RUN OUT.png`.
"""

import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from algorithms.dqn.options import options_of
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars


def main() -> None:
    run, path = RunFolder.open(sys.argv[1]), Path(sys.argv[2])
    scalars, per_step = read_scalars(run), options_of(run).emulator_frames_per_step
    evaluations = run.read_json("evaluations.json")
    figure = Figure(figsize=(9.5, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    steps, returns = scalars["episode/return"]
    left.plot(steps / per_step, returns, ".", color="#8b949e", markersize=4, label="training game")
    steps, means = scalars["episode/return_mean"]
    left.plot(steps / per_step, means, color="#1f6feb", linewidth=2, label="mean of the last 100")
    at = [e["step"] for e in evaluations]
    mean = [e["return_mean"] for e in evaluations]
    spread = [
        [e["return_mean"] - e["return_min"] for e in evaluations],
        [e["return_max"] - e["return_mean"] for e in evaluations],
    ]
    words = "evaluation: mean, least and greatest of 10"
    left.errorbar(at, mean, spread, fmt="o", color="#d1242f", capsize=3, label=words)
    left.set_ylabel("return")
    left.legend(frameon=False, fontsize=9, loc="lower right")
    steps, values = scalars["learner/held_out_max_q"]
    right.plot(steps / per_step, values, color="#1f6feb", linewidth=1.5)
    right.set_ylabel("mean max Q over held-out states")
    for axes in (left, right):
        axes.set_xlabel("steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
