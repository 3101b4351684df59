"""The report of a sequence training: its curves."""

from __future__ import annotations

from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

_AXES = {
    "error": "share of the answers that are wrong",
    "bits": "wrong bits of an answer",
    "loss": "nats an example",
}
_CURVES = (
    ("Loss", {"training": "train/loss"}, "nats an example"),
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
    report.config(run.config)
    return report
