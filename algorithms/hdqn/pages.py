"""The report of an h-DQN run with networks, and its figure of goals."""

from __future__ import annotations

from algorithms.dqn.options import options_of
from algorithms.dqn.pages import (
    SPEED,
    add_curves,
    add_film,
    add_scores,
    begin,
    frames_axis,
    run_title,
    score_curves,
)
from algorithms.hdqn.goals_figure import GoalHistory, goals_figure
from algorithms.hdqn.options import HDQNOptions
from arcadia.headline import Scalars
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

FIGURE = "goals.png"
_PAPER_STEPS = 4_300_000  # both phases on Montezuma's Revenge
_LEVELS = (("controller", "learner"), ("meta-controller", "meta"))


def page(run: RunFolder) -> Report:
    """Goals, scores, film, and curves of both levels."""
    options, scalars = options_of(run, HDQNOptions), read_scalars(run)
    report = begin(run, options, scalars, _PAPER_STEPS)
    history = draw_goals(run, scalars)
    if history is not None:
        _add_goals(report, run, history)
    add_scores(report, run, options)
    add_film(
        report,
        run,
        "The game with the goal that is pursued, what the critic pays, and the values of both "
        "levels.",
        "what the critic paid: goals reached, deaths",
    )
    add_curves(report, scalars, options, score_curves(options))
    _add_levels(report, scalars, options)
    add_curves(
        report,
        scalars,
        options,
        (
            ("Exploration", "meta/epsilon", "epsilon", "Chance of a random goal."),
            SPEED,
        ),
    )
    return report


def draw_goals(run: RunFolder, scalars: Scalars) -> GoalHistory | None:
    """Draws the run's figure of goals, as far as it has come; None if there is nothing to draw."""
    history = GoalHistory.of(scalars, run.config.get("goals", ()))
    if history is not None:
        options = options_of(run, HDQNOptions)
        phase1_end = options.phase1_steps * options.emulator_frames_per_step
        axis, title = frames_axis(options), run_title(options)
        run.write_bytes(FIGURE, goals_figure(history, phase1_end, axis, title))
    return history


def _add_goals(report: Report, run: RunFolder, history: GoalHistory) -> None:
    last = (history.tried, history.reached, history.success_rate, history.epsilon)
    rows = [
        [name, int(tried), int(reached), f"{rate:.0%}", f"{epsilon:.2f}"]
        for name, tried, reached, rate, epsilon in zip(
            history.names, *(values[:, -1].tolist() for values in last), strict=True
        )
    ]
    columns = ["goal", "tried", "reached", "of the latest 100", "epsilon"]
    report.table(
        "Goals",
        columns,
        rows,
        "Tries that came to an end. Epsilon: chance of a random action while the goal is pursued.",
    )
    report.image(
        "Goals as training went on",
        run.read_bytes(FIGURE),
        "Above, how the tries of each stretch of training were shared among the goals; below, how "
        "many of a goal's latest hundred tries reached it.",
    )


def _add_levels(report: Report, scalars: Scalars, options: HDQNOptions) -> None:
    """Curves of both levels, side by side."""
    for title, name, label in (
        ("Value", "q", "mean Q"),
        ("TD error", "td_error_abs", "mean |TD error|"),
        ("Loss", "loss", f"{options.loss} loss"),
    ):
        shown = [(f"{title} of the {who}", f"{tag}/{name}", label, "") for who, tag in _LEVELS]
        add_curves(report, scalars, options, shown)
