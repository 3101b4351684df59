"""From finished frames to videos: the result with its sound, and what the report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from arcadia.media import VideoWriter, open_sink, resized, scaled_size, side_by_side
from arcadia.runs import RunFolder
from pipelines.flow import flow_picture, warping_error_lai
from pipelines.stylization.colors import with_colors_of
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.moving import motions_of
from pipelines.stylization.plan import VideoPlan, read_style
from pipelines.stylization.results import FrameFiles, png_of
from pipelines.stylization.shot_frames import ShotFrames

COMPARISON, PICTURES, SEAMS = "report/comparison.mp4", "report/pictures", "report/seams.json"
"""In a video's folder of the run."""
_PANEL_PX = 320  # longest side of each picture of the comparison
_COMPARISON_S = 20
_NUM_PICTURES = 4


def write_output(
    run: RunFolder,
    plan: VideoPlan,
    options: StyleOptions,
    *,
    crf: int,
    on_frame: Callable[[int], None] = lambda index: None,
) -> None:
    """Joins the finished frames to a video with the source's times and sound, or to pictures.

    Raises:
        UserError: the place cannot be written; nothing is left there then.
    """
    source = plan.open()
    files = FrameFiles(run.storage, f"videos/{plan.name}/frames")
    frames = _source_frames(plan)
    sink = open_sink(
        plan.output,
        info=source.info,
        audio_from=plan.path if source.info.has_audio else None,
        start=plan.time(plan.start),
        stop=None if plan.reaches_end else end_time(plan),
        crf=crf,
    )
    with sink:
        for number in range(plan.start, plan.stop):
            picture = files.read(number)
            if options.original_colors:
                picture = with_colors_of(picture, frames[number])
            sink.write(picture, plan.time(number))
            on_frame(number - plan.start + 1)


def end_time(plan: VideoPlan) -> Fraction:
    """When the last painted frame ends, in seconds of the source."""
    return plan.time(plan.stop - 1) + 1 / plan.open().info.fps


def write_pictures(run: RunFolder, plan: VideoPlan, options: StyleOptions) -> None:
    """Puts into the run what its report shows of a video: source, style and result side by side as
    video, and flow and mask of a few frames."""
    folder = f"videos/{plan.name}"
    files, frames = FrameFiles(run.storage, f"{folder}/frames"), _source_frames(plan)
    local = run.scratch(f"{folder}/{COMPARISON}")
    style, _ = read_style(run.storage)
    info = plan.open().info
    length = min(plan.num_frames, int(_COMPARISON_S * info.fps) or 1)
    sink = VideoWriter(
        local,
        info.fps,
        crf=23,
        time_base=info.time_base if info.is_variable else None,
        pixel_aspect=info.pixel_aspect,
    )
    with sink as video:
        panel = _style_panel(style, plan.size)
        for number in range(plan.start, plan.start + length):
            painted = _final(files, frames, number, options)
            row = side_by_side(
                {"source": frames[number], "style": panel, "result": painted}, _PANEL_PX
            )
            video.write(row, plan.time(number) - plan.time(plan.start))
    run.sync()
    with motions_of(run.storage, plan, frames, options) as motions:
        for number in _shown(plan):
            motion = motions.get(number - 1, number)
            mask = np.repeat((motion.mask * 255).round().astype(np.uint8)[:, :, None], 3, 2)
            strip = side_by_side(
                {
                    "source": frames[number],
                    "flow back": flow_picture(motion.flow),
                    "trusted": mask,
                    "result": _final(files, frames, number, options),
                },
                _PANEL_PX,
            )
            run.write_bytes(f"{folder}/{PICTURES}/{number:08d}.png", png_of(strip))


def seam_errors(run: RunFolder, plan: VideoPlan, options: StyleOptions) -> list[float]:
    """Lai's warping error across each cut between parts of one shot."""
    folder = f"videos/{plan.name}"
    files, frames = FrameFiles(run.storage, f"{folder}/frames"), _source_frames(plan)
    errors = []
    with motions_of(run.storage, plan, frames, options) as motions:
        for part in plan.parts(options):
            if part.begins_with_seam:
                motion = motions.get(part.start - 1, part.start)
                before, after = files.read(part.start - 1), files.read(part.start)
                errors.append(warping_error_lai(after, before, motion, max_value=255))
    return errors


def drop_frames(run: RunFolder, plan: VideoPlan) -> None:
    """Removes the frames and flows of a video that is written."""
    folder = f"videos/{plan.name}"
    for name in ("frames", "flow", "run_in", "passes", "starts"):
        run.storage.delete_tree(f"{folder}/{name}")


def _source_frames(plan: VideoPlan) -> ShotFrames:
    return plan.frames(plan.start, plan.stop)


def _final(files: FrameFiles, frames: ShotFrames, number: int, options: StyleOptions) -> np.ndarray:
    picture = files.read(number)
    return with_colors_of(picture, frames[number]) if options.original_colors else picture


def _style_panel(style_hwc: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The style in the shape of a frame, cut around its middle."""
    height, width = scaled_size(*size, _PANEL_PX)
    scale = max(height / style_hwc.shape[0], width / style_hwc.shape[1])
    tall = max(round(style_hwc.shape[0] * scale), height)
    wide = max(round(style_hwc.shape[1] * scale), width)
    fitted, top, left = resized(style_hwc, (tall, wide)), (tall - height) // 2, (wide - width) // 2
    return fitted[top : top + height, left : left + width]


def _shown(plan: VideoPlan) -> Iterator[int]:
    """A few frames that have a frame before them in their shot."""
    inner = [n for start, stop in plan.shots for n in range(start + 1, stop)]
    for i in range(min(_NUM_PICTURES, len(inner))):
        yield inner[(2 * i + 1) * len(inner) // (2 * min(_NUM_PICTURES, len(inner)))]
