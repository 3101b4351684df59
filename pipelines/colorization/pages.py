"""The report of a colorizer's training: its curves and pictures."""

from __future__ import annotations

from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars

PICTURES = "pictures"
"""Folder of a run with grey, predicted and true pictures, by step."""

_CURVES = (
    ("Colours", {"ab-MSE": "validation/ab_mse"}, "squared units of a* and b*"),
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
    for label, name in (
        ("ab-MSE", "ab_mse"),
        ("PSNR, dB", "psnr"),
        ("SSIM", "ssim"),
        ("Colourfulness", "colorfulness"),
        ("Top-1", "top1"),
    ):
        shown[label] = figures.get(f"validation/{name}")
    report.stats({k: _short(v) for k, v in shown.items() if v is not None})
    pictures = sorted(run.storage.list(PICTURES))
    if pictures:
        report.image("Grey, predicted, truth", run.read_bytes(pictures[-1]))
    for title, tags, axis in _CURVES:
        found = {label: history[tag] for label, tag in tags.items() if tag in history}
        if found:
            report.curve(title, found, "step", axis)
    report.config(run.config)
    return report


def _short(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
