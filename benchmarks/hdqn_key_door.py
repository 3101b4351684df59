# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""h-DQN against flat DQN on the gridworld with key and door, by the RLlib algorithms.

Equal budgets of steps, three seeds each, the same network, minibatches, learning rate and updates a
step; flat DQN with three schedules of epsilon. Success: the share of episodes that go through the
door within their 100 steps, in training as it goes on, and in evaluation (epsilon 0.05) at the end.

    python -m benchmarks.hdqn_key_door --json --figure key_door.png
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arcadia import cluster

cluster.state_environment()
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import ray

from algorithms.hdqn.presets import preset
from benchmarks.replay import machine

STEPS = 60_000
SEEDS = (1, 2, 3)
EPISODES = 100  # of an evaluation
STRETCH = 2_000  # steps that a point of a curve is of

SHARED = (
    "hidden_size",
    "num_envs_per_env_runner",
    "n_step",
    "lr",
    "updates_per_step",
    "target_update_period",
    "learning_starts",
    "replay_capacity",
)
"""Options in which flat DQN is as h-DQN's preset `gridworld`."""
BOTH: dict[str, Any] = dict(steps_per_iteration=STRETCH, eval_period_frames=0)
FLAT: dict[str, dict[str, Any]] = {
    f"flat DQN, epsilon 1 to {end:g} in {frames:,} steps": dict(
        gamma=0.99, held_out_states=0, epsilon_end=end, epsilon_decay_frames=frames
    )
    for frames, end in ((10_000, 0.05), (30_000, 0.1), (60_000, 0.3))
}
HDQN = "h-DQN"
PHASE_2 = preset("gridworld").phase1_frames  # begins there


@ray.remote(num_cpus=1)
def train(learner: str, seed: int, steps: int) -> dict[str, Any]:
    """Trains one learner with one seed.

    Returns:
        `curve`, the share of training episodes won in each stretch of steps (nan: none ended), and
        `success`, that of evaluation episodes at the end.
    """
    import torch

    from algorithms.dqn import DQN, DQNConfig
    from algorithms.hdqn import HDQNConfig

    torch.set_num_threads(1)
    hierarchy = preset("gridworld", env="KeyDoor-v0", **BOTH)
    if learner == HDQN:
        config = HDQNConfig.of_options(hierarchy)
    else:
        shared = {name: getattr(hierarchy, name) for name in SHARED}
        config = DQNConfig().environment("KeyDoor-v0").training(**BOTH, **shared, **FLAT[learner])
    config.debugging(seed=seed)
    algo = config.build_algo()
    assert isinstance(algo, DQN)
    curve = []
    while algo.num_env_steps < steps:
        won = [episode["return"] for episode in algo.train()["episodes"]]
        curve.append(float(np.mean(won)) if won else float("nan"))
    success = evaluate(config, algo.runner.get_weights())
    algo.stop()
    return {"curve": curve, "success": success}


def evaluate(config: Any, weights: Any) -> float:
    """Share of `EPISODES` episodes won with epsilon 0.05."""
    config = config.copy(copy_frozen=False).debugging(seed=10_000)
    config.in_evaluation = True
    runner = config._runner_class()(config=config, worker_index=0)
    runner.take_weights(weights)
    won: list[float] = []
    while len(won) < EPISODES:
        runner.start_step(runner.options.epsilon_eval)
        won += [episode.return_ for episode in runner.finish_step()]
        runner.forget()
    runner.stop()
    return float(np.mean(won[:EPISODES]))


def figure(results: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draws the curves side by side: mean and range of the seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    drawn = Figure(figsize=(9.5, 3.8), dpi=110, layout="constrained")
    axes = drawn.subplots()
    colors = ("#1f6feb", "#8b949e", "#d29922", "#d1242f")
    dashes = ("-", "-", (0, (6, 3)), (0, (2, 4)))  # those that lie on each other are all seen
    for color, dash, (name, runs) in zip(colors, dashes, results.items(), strict=True):
        curves = np.array([run["curve"] for run in runs])
        at = STRETCH * (1 + np.arange(curves.shape[1]))
        axes.plot(
            at, np.nanmean(curves, axis=0), color=color, linestyle=dash, linewidth=2, label=name
        )
        low, high = np.nanmin(curves, axis=0), np.nanmax(curves, axis=0)
        axes.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
    axes.axvline(PHASE_2, color="#57606a", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        "h-DQN's phase 2",
        (PHASE_2, 1.0),
        xytext=(4, 0),
        textcoords="offset points",
        color="#57606a",
        fontsize=8,
    )
    axes.set_title("Key and door: training episodes that go through the door", fontweight="bold")
    axes.set_xlabel("steps")
    axes.set_ylim(-0.02, 1.06)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=9, loc="center left")
    FigureCanvasAgg(drawn).print_png(path)


def main() -> None:
    """Trains, prints, draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--figure", type=Path, help="PNG to draw the curves into")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    cluster.connect(num_cpus=os.cpu_count() or 2)
    names = [HDQN, *FLAT]
    jobs = {(n, s): train.remote(n, s, arguments.steps) for s in arguments.seeds for n in names}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for (name, seed), job in jobs.items():
        result = ray.get(job)
        results[name].append(result | {"seed": seed})
        print(f"{name}, seed {seed}: {result['success']:.0%} in evaluation", flush=True)
    means = {n: float(np.mean([r["success"] for r in runs])) for n, runs in results.items()}
    best_flat = max(FLAT, key=lambda name: means[name])
    print(f"\n{arguments.steps:,} steps, {len(arguments.seeds)} seeds, {EPISODES} episodes each")
    for name, mean in means.items():
        print(f"{name:45} {mean:6.1%}{'  (best of flat)' if name == best_flat else ''}")
    if arguments.figure:
        figure(results, arguments.figure)
    if arguments.json:
        answer = {"steps": arguments.steps, "means": means, "results": results}
        print(json.dumps(answer | {"machine": machine()}))


if __name__ == "__main__":
    main()
