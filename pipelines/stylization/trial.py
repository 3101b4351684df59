"""One trial of a sweep: a stretch of a video, painted in a process of Tune's."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.stylization.config import StyleOptions

if TYPE_CHECKING:
    from arcadia.runs import RunFolder
    from pipelines.stylization.parts import Part
    from pipelines.stylization.plan import VideoPlan
    from pipelines.stylization.stylizer import Stylizer


def sweep_trial(
    video: str, style: str, options: StyleOptions, *, preview: str | None = None, seed: int = 0
) -> None:
    """Paints a video and reports to Tune after every frame, as means over the frames so far.

    What is reported: "frames"; "warping_error", Lai's, from the second frame on (before: 0);
    "content_loss" and "style_loss", which no weight is in. The trial's run holds the painted video,
    source, style and result side by side, and a report. A trial that goes on paints what is not
    there yet.

    Args:
        video: a file, a folder of pictures, or a pattern of them.
        style: a picture.
        options: how it is painted. Its parts are painted one after another, on this process's GPU
            if it has one.
        preview: stretch of the video, as `arcadia stylize --preview` takes it.
        seed: of the noise.
    """
    import cv2
    from ray import tune

    from arcadia.run_report import write_report
    from arcadia.trials import trial_run
    from arcadia.workers import own_device
    from pipelines.stylization.estimate import fit
    from pipelines.stylization.finish import (
        SEAMS,
        drop_frames,
        seam_errors,
        write_output,
        write_pictures,
    )
    from pipelines.stylization.job import KIND, StylizeOptions
    from pipelines.stylization.pages import page
    from pipelines.stylization.plan import (
        find_clips,
        plan_video,
        rate_of,
        read_style,
        save_style,
    )
    from pipelines.stylization.results import Manifest
    from pipelines.stylization.stylizer import Stylizer

    cv2.setNumThreads(1)
    (clip,) = find_clips([video], None, style, "")
    run = trial_run(
        kind=KIND,
        config={
            "clips": [dataclasses.asdict(clip)],
            "style": style,
            "preview": preview,
            "options": dataclasses.asdict(options),
        },
        seed=seed,
    )
    output = run.scratch(Path(clip.output).name)
    clip = dataclasses.replace(clip, output=str(output))
    plan = plan_video(clip, options, fps=rate_of(None), preview=preview)
    plan.save(run.storage)
    save_style(run, style, options.style_weight_map)
    picture, style_map = read_style(run.storage)
    stylizer = Stylizer(options, picture, style_map_hw=style_map, device=own_device(), seed=seed)
    fit(stylizer, plan.size)
    parts = plan.parts(options)
    records: list[Mapping[str, Any]] = [
        r for part in parts for r in Manifest(run.storage, part).frames
    ]
    for part in parts:
        for record in _painted(run, plan, part, stylizer):
            records.append(record)
            tune.report(_figures(records))
    seams = f"videos/{plan.name}/{SEAMS}"
    if not run.exists(seams):  # the last of what takes the frames, which may be gone else
        write_output(run, plan, options, crf=StylizeOptions.crf)
        write_pictures(run, plan, options)
        run.sync()
        run.write_json(seams, seam_errors(run, plan, options))
    run.set_status("completed")
    write_report(run, page(run))
    drop_frames(run, plan)


def _painted(
    run: RunFolder, plan: VideoPlan, part: Part, stylizer: Stylizer
) -> Iterator[Mapping[str, Any]]:
    """Paints what is not there of a part; the record of each frame."""
    from pipelines.stylization.moving import motions_of
    from pipelines.stylization.results import Manifest
    from pipelines.stylization.sweeps import Work, paint

    frames = plan.frames(part.first, part.stop)
    with motions_of(run.storage, plan, frames, stylizer.options) as motions:
        yield from paint(
            Work(
                part=part,
                storage=run.storage,
                stylizer=stylizer,
                frames=frames,
                motions=motions,
                manifest=Manifest(run.storage, part),
            )
        )


def _figures(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the frames of the latest pass."""
    latest = max(record["pass"] for record in records)
    of_pass = [record for record in records if record["pass"] == latest]
    errors = [r["warping_error_lai"] for r in of_pass if "warping_error_lai" in r]
    return {
        "frames": len(records),
        "warping_error": statistics.fmean(errors) if errors else 0.0,
        "content_loss": statistics.fmean(r["losses"]["content"] for r in of_pass),
        "style_loss": statistics.fmean(r["losses"]["style"] for r in of_pass),
    }
