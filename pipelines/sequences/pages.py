"""The report of a sequence training: its curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from arcadia.headline import Headline, add_validations, validated
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.sequences.config import SequenceOptions, options_from

_AXES = {
    "error": "share of the answers that are wrong",
    "bits": "wrong bits of an answer",
    "loss": "nats an example",
}
_CURVES = (
    ("Loss in training", {"training": "train/loss"}, "nats an example"),
    ("Noise", {"c": "train/noise_c"}, "c of the noisy activations"),
    ("Gradient", {"L2 norm": "train/gradient_norm"}, "before it is scaled down"),
    ("Speed", {"examples a second": "train/examples_per_s"}, "examples a second"),
)


def page(run: RunFolder) -> Report:
    """The page of a run."""
    options = run.config["options"]
    task, activation = options["task"].replace("_", " "), options["activation"]
    report = Report(f"{task.capitalize()}, {activation}", subtitle=f"{run.name} · {run.status}")
    history = read_scalars(run)
    judged = [name for name in history if name.startswith("validation/")]
    shown: dict[str, str] = {
        "Steps": f"{max((int(s[-1]) for s, _ in history.values()), default=0):,}"
    }
    for name in judged:
        label = name.removeprefix("validation/").capitalize()
        shown[label] = f"{history[name][1][-1]:.4g}"
    report.stats(shown)
    for name in judged:
        label = name.removeprefix("validation/")
        axis = _AXES.get(label, label)
        report.curve(label.capitalize(), {"kept aside": history[name]}, "step", axis)
    for title, tags, axis in _CURVES:
        found = {label: history[tag] for label, tag in tags.items() if tag in history}
        if found:
            report.curve(title, found, "step", axis)
    add_validations(report, history, {})
    _activation(report, options_from(options), history)
    return report


def headline(run: RunFolder) -> Headline:
    """What an index says of a run."""
    from pipelines.sequences.tasks import metrics_of

    task = run.config["options"]["task"]
    judged_by = metrics_of(task)[0]
    title, axis = task.replace("_", " ").capitalize(), _AXES.get(judged_by, judged_by)
    return validated(title, read_scalars(run), judged_by, axis)


def _activation(
    report: Report,
    options: SequenceOptions,
    history: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """The activation of the candidates, with the noise that there was at the end."""
    if options.activation not in ("nan", "nah"):  # others' noise is on what goes in
        return
    from algorithms.noisy.activations import NoisyHardTanh
    from algorithms.noisy.figure import activation_figure
    from algorithms.noisy.functions import HARD_TANH

    made = NoisyHardTanh(**options.noise_arguments(options.activation, 1))
    annealed = history.get("train/noise_c")
    c = made.c.item() if annealed is None else float(annealed[1][-1])
    report.image(
        "The activation",
        activation_figure(
            alphas=(made.alpha,), c=c, half_normal=made.half_normal, hards=(HARD_TANH,)
        ),
        f"Of candidates, with the noise of the last step, c = {c:.3g}: its mean, and the band from "
        "its 5th to its 95th percentile where p is 1. Without noise where it does not saturate.",
    )
