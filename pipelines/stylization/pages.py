"""The report of a stylization: what it looks like, and how steady it is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from arcadia.headline import Headline
from arcadia.media import resized, scaled_size
from arcadia.report import Report
from arcadia.runs import RunFolder
from pipelines.stylization.config import StyleOptions, options_from
from pipelines.stylization.finish import COMPARISON, PICTURES, SEAMS
from pipelines.stylization.plan import VideoPlan, read_style
from pipelines.stylization.results import Manifest

_STYLE_PX = 480  # longest side of the style's picture


def page(run: RunFolder) -> Report:
    """The page of a run, of the videos that are written."""
    options, plans = options_from(run.config["options"]), _plans(run)
    note = (
        "Approximate: long shots were cut into parts painted side by side; a seam may show"
        if any(part.begins_with_seam for plan in plans for part in plan.parts(options))
        else ""
    )
    report = Report(_title(plans), subtitle=f"{run.name} · {run.status}", note=note)
    frames = sum(plan.num_frames for plan in plans)
    errors = [e for plan in plans if (e := mean_error(run, plan)) is not None]
    seconds = mean_seconds(run, plans)
    report.stats(
        {
            "Frames": frames,
            "Shots": sum(len(plan.shots) for plan in plans),
            "Seconds a frame": "n/a" if seconds is None else f"{seconds:.3g}",
            "Warping error (Lai)": f"{statistics.fmean(errors):.5f}" if errors else "n/a",
        }
    )
    style = read_style(run.storage)[0]
    height, width, _ = style.shape
    shown = scaled_size(height, width, min(_STYLE_PX, max(height, width)))
    report.image("The style", resized(style, shown))
    for plan in plans:
        _video(report, run, plan, options)
    return report


def headline(run: RunFolder) -> Headline:
    """What an index says of a run."""
    plans = _plans(run)
    errors = [e for plan in plans if (e := mean_error(run, plan)) is not None]
    figures = {"warping error (Lai)": statistics.fmean(errors)} if errors else {}
    if (seconds := mean_seconds(run, plans)) is not None:
        figures["seconds a frame"] = seconds
    films = [f"videos/{plan.name}/{COMPARISON}" for plan in plans]
    return Headline(
        title=_title(plans),
        figures=figures | {"frames": sum(plan.num_frames for plan in plans)},
        picture=next((film for film in films if run.exists(film)), None),
    )


def _plans(run: RunFolder) -> list[VideoPlan]:
    """Of the videos that could be read."""
    names = [clip["name"] for clip in run.config["clips"]]
    return [
        VideoPlan.load(run.storage, name) for name in names if VideoPlan.exists(run.storage, name)
    ]


def _title(plans: Sequence[VideoPlan]) -> str:
    if len(plans) > 1:
        return "Painted videos"
    return f"{plans[0].name}, painted" if plans else "Painting"


def records_of(run: RunFolder, plan: VideoPlan) -> list[dict[str, Any]]:
    """What the manifests say of the frames of a video's last pass, in their order, run-in left
    out."""
    options = options_from(run.config["options"])
    records = []
    for part in plan.parts(options):
        own = Manifest(run.storage, part).frames
        records += [record for record in own if record["frame"] >= part.start]
    return sorted(records, key=lambda record: record["frame"])


def mean_error(run: RunFolder, plan: VideoPlan) -> float | None:
    """Mean over frames of Lai's warping error, by the flow that was painted with."""
    errors = [r["warping_error_lai"] for r in records_of(run, plan) if "warping_error_lai" in r]
    return statistics.fmean(errors) if errors else None


def mean_seconds(run: RunFolder, plans: Sequence[VideoPlan]) -> float | None:
    """Mean over all frames of the seconds that each took, all its passes together."""
    options, seconds, frames = options_from(run.config["options"]), 0.0, 0
    for plan in plans:
        for part in plan.parts(options):
            manifest = Manifest(run.storage, part)
            seconds += sum(one["seconds"] for one in manifest.passes)
            if manifest.passes:
                frames += part.num_frames
    return seconds / frames if frames else None


def _video(report: Report, run: RunFolder, plan: VideoPlan, options: StyleOptions) -> None:
    folder, records = f"videos/{plan.name}", records_of(run, plan)
    if run.exists(f"{folder}/{COMPARISON}"):
        caption = f"{plan.num_frames} frames of {plan.path}"
        report.video(
            f"{plan.name}: source, style, result",
            run.read_bytes(f"{folder}/{COMPARISON}"),
            caption + (f". {plan.problem}" if plan.problem else ""),
        )
    pictures = run.storage.list(f"{folder}/{PICTURES}")
    if pictures:
        report.text(
            f"{plan.name}: flow and masks",
            "Below, of a few frames: the source; the flow back to the frame before, as colours "
            "(the hue says where to, the strength how far); where the frame before can be "
            "trusted (white); the result.",
        )
        for name in pictures:
            number = int(name.rpartition("/")[2].removesuffix(".png"))
            report.image(f"Frame {number}", run.read_bytes(name))
    told = [record for record in records if "warping_error_lai" in record]
    if told:
        numbers = np.array([record["frame"] for record in told])
        report.curve(
            f"{plan.name}: warping error",
            {
                "Lai's, over what is trusted": (numbers, [r["warping_error_lai"] for r in told]),
                "Ruder's, over all pixels": (numbers, [r["warping_error_ruder"] for r in told]),
            },
            "frame",
            "squared difference of RGB in 0..1",
            "Of each frame to its neighbour, brought along the flow that was painted with. The two "
            "are different measures and cannot be compared with each other."
            + (" Measured before the source's colours came back." * options.original_colors),
        )
    if records:
        report.curve(
            f"{plan.name}: iterations",
            {"iterations": ([r["frame"] for r in records], [r["iterations"] for r in records])},
            "frame",
            "iterations",
            "Of the last pass." if options.is_multipass else "",
        )
    _shots(report, run, plan, options, records)


def _shots(
    report: Report,
    run: RunFolder,
    plan: VideoPlan,
    options: StyleOptions,
    records: Sequence[dict[str, Any]],
) -> None:
    rows = []
    for part in plan.parts(options):
        own = [r for r in records if part.start <= r["frame"] < part.stop]
        errors = [r["warping_error_lai"] for r in own if "warping_error_lai" in r]
        covered = [r["covered"] for r in own if "covered" in r]
        rows.append(
            [
                f"{part.shot + 1}",
                f"{part.start} to {part.stop - 1}",
                sum(r["seconds"] for r in own),
                statistics.fmean(r["losses"]["total"] for r in own) if own else None,
                statistics.fmean(covered) if covered else None,
                statistics.fmean(errors) if errors else None,
                sum(bool(r.get("diverged")) for r in own),
            ]
        )
    report.table(
        f"{plan.name}: shots",
        ["shot", "frames", "seconds", "loss", "trusted", "warping error (Lai)", "broken off"],
        rows,
        "Means over frames: the weighted loss, the share of the frame that is trusted; and how "
        "many searches had to be broken off.",
    )
    if run.exists(f"videos/{plan.name}/{SEAMS}") and (
        seams := run.read_json(f"videos/{plan.name}/{SEAMS}")
    ):
        inner = mean_error(run, plan)
        report.text(
            f"{plan.name}: seams",
            f"Long shots are cut at {_counted(len(seams), 'place')}."
            + (
                f" Lai's warping error across seams is {statistics.fmean(seams):.5f}, and "
                f"{inner:.5f} within parts: a ratio of {statistics.fmean(seams) / inner:.2f}."
                if inner
                else ""
            ),
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
