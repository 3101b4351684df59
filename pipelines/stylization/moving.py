"""The motions of a video as the options ask for them, kept beside the run."""

from __future__ import annotations

from arcadia.storage import Storage
from pipelines.flow import FlowFiles, Motions
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.plan import VideoPlan
from pipelines.stylization.shot_frames import ShotFrames


def motions_of(
    storage: Storage, plan: VideoPlan, frames: ShotFrames, options: StyleOptions
) -> Motions:
    """Motions between the frames of a video, by whoever paints it or reports on it.

    Args:
        storage: the run's folder.
        plan: the video.
        frames: its source frames.
        options: where the flow comes from, and what the masks leave out.
    """
    height, width = plan.size
    method = (
        options.flow
        if options.flow_dir is None
        else FlowFiles(folder=options.flow_dir, height=height, width=width)
    )
    return Motions(
        method,
        storage,
        frames.__getitem__,
        height=height,
        width=width,
        prefix=f"videos/{plan.name}/flow",
        soften=options.soften_masks,
        motion_boundaries=options.motion_boundaries,
    )
