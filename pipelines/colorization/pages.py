"""The report of a colorizer's training: its curves and pictures."""

from __future__ import annotations

from arcadia.headline import Headline, add_validations, validated
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

PICTURES = "pictures"
"""Folder of a run with grey, predicted and true pictures, by step."""

_LABELS = {
    "ab_mse": "ab-MSE",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "colorfulness": "Colourfulness",
    "top1": "Top-1",
    "top5": "Top-5",
}
_AB_AXIS = "squared units of a* and b*"
_CURVES = (
    ("Colours", {"ab-MSE": "validation/ab_mse"}, _AB_AXIS),
    ("Loss of the colours", {"training": "train/color_loss"}, "mean squared difference"),
    (
        "Classes",
        {"top-1": "validation/top1", "top-5": "validation/top5"},
        "share of the pictures kept aside",
    ),
    ("Loss of the classes", {"training": "train/class_loss"}, "cross-entropy, nats"),
    ("Speed", {"pictures a second": "train/images_per_s"}, "pictures a second"),
)


def page(run: RunFolder) -> Report:
    """The page of a run."""
    report = Report("Colorizer", subtitle=f"{run.name} · {run.status}")
    history = read_scalars(run)
    figures = {name: float(values[-1]) for name, (_, values) in history.items()}
    steps = max((int(s[-1]) for s, _ in history.values()), default=0)
    shown = {"Steps": steps, "Epochs": figures.get("train/epoch")}
    for name, label in _LABELS.items():
        if name != "top5":
            shown[label] = figures.get(f"validation/{name}")
    report.stats({k: _short(v) for k, v in shown.items() if v is not None})
    pictures = sorted(run.storage.list(PICTURES))
    if pictures:
        report.image("Grey, predicted, truth", run.read_bytes(pictures[-1]))
    for title, tags, axis in _CURVES:
        found = {label: history[tag] for label, tag in tags.items() if tag in history}
        if found:
            report.curve(title, found, "step", axis)
    add_validations(report, history, _LABELS)
    _add_evaluation(report, run)
    return report


def headline(run: RunFolder) -> Headline:
    """What an index says of a run."""
    pictures = sorted(run.storage.list(PICTURES))
    picture = pictures[-1] if pictures else None
    return validated("Colorizer", read_scalars(run), "ab_mse", f"ab-MSE, {_AB_AXIS}", picture)


def _add_evaluation(report: Report, run: RunFolder) -> None:
    """What `arcadia evaluate` found last, if it did."""
    if not run.exists("evaluation.json"):
        return
    found = run.read_json("evaluation.json")
    rows = [
        [label, found[name], (found["mean_color"] or {}).get(name)]
        for name, label in _LABELS.items()
        if found.get(name) is not None
    ]
    report.table(
        "Judged by other pictures",
        ["figure", "the network", "the mean colour"],
        rows,
        f"After {found['step']:,} steps, over {found['images']:,} pictures of {found['data']}; "
        "beside it all pictures in the mean colour of those that were trained on.",
    )
    if run.exists("evaluation.png"):
        report.image("Grey, predicted, truth: other pictures", run.read_bytes("evaluation.png"))


def _short(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
