"""Weights of style and time over that of content, on a stretch of a video.

ARCADIA_VIDEO=clip.mp4 ARCADIA_STYLE=style.jpg arcadia tune tune_configs/stylization_weights.py

More weight on time is steadier, and less like the style: trials are judged by `warping_error`,
`style_loss` and `content_loss` stand beside it in TensorBoard, and each trial's folder has the
painted stretch. Which of them is right, eyes decide.
"""

import os

from ray import tune

from arcadia.errors import UserError
from arcadia.tuning import Space
from pipelines.stylization import StyleOptions, sweep_trial

METRIC = "warping_error"


def trial(
    *,
    style_weight: float,
    temporal_weight: float,
    size: int,
    iterations_first: int,
    iterations: int,
    video: str,
    style: str,
    preview: str,
    seed: int,
) -> None:
    """Paints the stretch with these weights; its frames are what Tune sees."""
    options = StyleOptions(
        style_weight=style_weight,
        temporal_weight=temporal_weight,
        size=size,
        iterations_first=iterations_first,
        iterations=iterations,
    )
    sweep_trial(video, style, options, preview=preview, seed=seed)


def sweep() -> tuple[Space, tune.TuneConfig]:
    """Three weights of each, on one second of video, small."""
    space = Space(
        trainable=trial,
        parameters={
            "style_weight": tune.grid_search([5.0, 20.0, 80.0]),
            "temporal_weight": tune.grid_search([0.0, 50.0, 200.0]),
            "size": 256,
            "iterations_first": 300,
            "iterations": 150,
            "video": _path("ARCADIA_VIDEO", "the video"),
            "style": _path("ARCADIA_STYLE", "the style's picture"),
            "preview": "0s:1s",
            "seed": 0,
        },
        compared_by=("style_weight", "temporal_weight"),
        time="frames",
    )
    return space, tune.TuneConfig(metric=METRIC, mode="min", num_samples=1)


def _path(variable: str, what: str) -> str:
    """The file that a variable of the environment names; trials run in other folders."""
    if not os.environ.get(variable):
        raise UserError(f"set {variable} to {what}")
    path = os.path.abspath(os.environ[variable])
    if not os.path.exists(path):
        raise UserError(f"{variable} {os.environ[variable]}: no such file")
    return path
