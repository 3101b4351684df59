"""The report of a DQN run, and the parts of it that others share."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np

from algorithms.dqn.options import DQNOptions, options_of
from algorithms.dqn.paper_scores import BESTS
from arcadia.headline import Headline, Scalars
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

_PAPER_STEPS = 10_000_000  # training frames of the 2013 paper


def page(run: RunFolder) -> Report:
    """Curves, scores, film, and what the agent sees."""
    options, scalars = options_of(run), read_scalars(run)
    report = begin(run, options, scalars, _PAPER_STEPS)
    add_scores(report, run, options)
    add_film(
        report,
        run,
        "The game's own picture; the predicted value of the last ten seconds; the value of each "
        "action now, the one taken lit (a random one now and then).",
        "points won or lost",
    )
    add_curves(
        report,
        scalars,
        options,
        (
            *score_curves(options),
            (
                "Predicted value",
                "learner/held_out_max_q",
                "mean max Q",
                "Mean greatest Q-value over states held out before training (2013, figure 2).",
            ),
            ("TD error", "learner/td_error_abs", "mean |TD error|", ""),
            ("Loss", "learner/loss", f"{options.loss} loss", ""),
            ("Exploration", "runner/epsilon", "epsilon", "Chance of a random action."),
            SPEED,
        ),
    )
    if run.exists("held_out.npz"):
        _seen(report, run, options)
    return report


def headline(run: RunFolder, options: DQNOptions, figure: str = "value.png") -> Headline:
    """What an index says of a run.

    Args:
        run: What is told of.
        options: What it was made with.
        figure: File of the run that is shown where there is no film.
    """
    scalars = read_scalars(run)
    figures = {
        label: float(scalars[name][1][-1])
        for label, name in (
            ("evaluation return", "evaluation/return_mean"),
            ("training return", "episode/return_mean"),
        )
        if name in scalars
    }
    if run.exists("evaluation.json"):
        figures["score"] = float(run.read_json("evaluation.json")["mean"])
    return Headline(
        title=run_title(options),
        figures=figures,
        steps=_steps(options, scalars),
        curve=scalars.get("episode/return_mean"),
        axes=(frames_axis(options), "return, mean of the last 100 training games"),
        picture=next((name for name in ("watch.mp4", figure) if run.exists(name)), None),
    )


def run_title(options: DQNOptions) -> str:
    """The algorithm and what it plays, for people."""
    name = (options.game or "").replace("_", " ").title() or str(options.env)
    return f"{options.algorithm_name} on {name}"


def frames_axis(options: DQNOptions) -> str:
    """What the x-axis of all curves counts."""
    per_step = options.emulator_frames_per_step
    return f"environment frames ({per_step} a step)" if per_step > 1 else "environment steps"


def begin(run: RunFolder, options: DQNOptions, scalars: Scalars, paper_steps: int) -> Report:
    """A page's head, and its row of figures.

    Args:
        run: What is told of.
        options: What it was made with.
        scalars: What it wrote.
        paper_steps: Steps of the paper's own training, of games.
    """
    steps = _steps(options, scalars)
    report = Report(
        run_title(options),
        subtitle=f"{run.name} · {run.status}",
        note=_caveat(options, steps, paper_steps),
    )
    returns = scalars.get("episode/return", (np.zeros(0), np.zeros(0)))[1]
    stats = {"steps": f"{steps:,}", "episodes": f"{len(returns):,}"}
    if len(returns):
        stats["mean return, last 20 games"] = f"{returns[-20:].mean():.1f}"
    if "learner/loss" in scalars:
        # Only iterations that learned: filling the replay is ten times as fast.
        at, speed = scalars["runner/env_steps_per_s"]
        learning = np.isin(at, scalars["learner/loss"][0])
        stats["steps/s while learning"] = f"{np.median(speed[learning]):.0f}"
    report.stats(stats)
    return report


def _steps(options: DQNOptions, scalars: Scalars) -> int:
    frames = int(scalars["replay/transitions"][0][-1]) if "replay/transitions" in scalars else 0
    return frames // options.emulator_frames_per_step


def add_film(report: Report, run: RunFolder, caption: str, lines: str) -> None:
    """What `arcadia watch` made, if it did: the caption says what the film shows, `lines` what the
    dashed lines of the figure are."""
    if run.exists("watch.mp4"):
        report.video("The agent at play", run.read_bytes("watch.mp4"), caption)
    if run.exists("value.png"):
        report.image(
            "The value of a stretch of the game",
            run.read_bytes("value.png"),
            "The predicted value where it moves most, and the screens at its turning points (2013, "
            f"section 5.2). Dashed lines: {lines}.",
        )


def _caveat(options: DQNOptions, steps: int, paper_steps: int) -> str:
    if steps >= 0.5 * paper_steps or options.game is None:
        return ""
    return (
        f"These {steps:,} steps are {100 * steps / paper_steps:.2g} % of the paper's "
        f"{paper_steps / 1e6:g} million. Minutes of training are not a trained agent: what this "
        "run shows is that everything works."
    )


def add_scores(report: Report, run: RunFolder, options: DQNOptions) -> None:
    """The table that `arcadia evaluate` made, if it did."""
    if not run.exists("evaluation.json"):
        return
    result = run.read_json("evaluation.json")
    rows = [[*row[:4]] for row in result["rows"]]
    for player, score in result["paper"].items():
        scores = [None, None, score] if player in BESTS else [score, None, None]
        rows.append([f"{player} (2013, table 1)", *scores])
    caption = (
        f"After {result['checkpoint_step']:,} steps, in the game's own points: {result['played']}."
    )
    if (percent := result["human_normalized_percent"]) is not None:
        caption += (
            f" Human-normalised: {percent:.1f} %, where the table's Random is 0 and its Human 100."
        )
    report.table("Scores", ["player", "mean", "standard error", "best"], rows, caption)


SPEED = ("Speed", "runner/env_steps_per_s", "steps/s", "Acting and learning together.")


def score_curves(options: DQNOptions) -> tuple[tuple[str, str, str, str], ...]:
    """The curves of training games and evaluations, as `add_curves` takes them."""
    return (
        ("Learning curve", "episode/return", "return", "Every training game, in its own points."),
        (
            "Evaluation",
            "evaluation/return_mean",
            "mean return",
            f"Mean over {options.eval_episodes} games with epsilon {options.epsilon_eval:g}, as "
            "training went on.",
        ),
    )


def add_curves(
    report: Report,
    scalars: Scalars,
    options: DQNOptions,
    shown: Iterable[tuple[str, str, str, str]],
) -> None:
    """Curves of those scalars that there are: title, tag, label of the y-axis, caption of each."""
    axis = frames_axis(options)
    for title, name, label, caption in shown:
        if name in scalars:
            report.curve(title, {label: scalars[name]}, axis, label, caption)


def _seen(report: Report, run: RunFolder, options: DQNOptions) -> None:
    states = np.load(io.BytesIO(run.read_bytes("held_out.npz")))["states"]
    state = states[len(states) // 2]
    if state.dtype != np.uint8 or state.ndim != 3:
        return
    gap = np.full((state.shape[1], 2), 128, np.uint8)
    strip = np.hstack([part for frame in state for part in (frame, gap)][:-1])
    report.image(
        "What the agent sees",
        np.repeat(strip[:, :, None], 3, axis=2),
        f"One observation: the latest {len(state)} frames, oldest first, {state.shape[1]} by "
        f"{state.shape[2]} grey pixels.",
    )
