"""What an index of runs says of each, in few words: its figures, its main curve, a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from arcadia.errors import UserError
from arcadia.media import open_source, scaled_size
from arcadia.media.images import decode_image
from arcadia.report import Report
from arcadia.runs import RunFolder

Scalars = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""As `read_scalars` gives them."""
_JUDGED = "validation/"
_PICTURE_PX = 240  # longest side; shown at half of that


@dataclass(frozen=True, kw_only=True, eq=False)
class Headline:
    """What a job says of a run."""

    title: str
    """What was done; the curves of runs alike in it are drawn into one chart."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """By name, the one that counts first."""
    steps: int | None = None
    """How far it has come."""
    curve: tuple[np.ndarray, np.ndarray] | None = None
    """Of what counts: steps (N,) ascending and values (N,)."""
    axes: tuple[str, str] = ("step", "")
    """What the curve's steps count, and what its values are."""
    picture: str | None = None
    """Name of a picture or a video in the run."""


def last_step(scalars: Scalars) -> int | None:
    """The step of a run's latest point."""
    return max((int(steps[-1]) for steps, _ in scalars.values() if len(steps)), default=None)


def validated(
    title: str, scalars: Scalars, judged_by: str, axis: str, picture: str | None = None
) -> Headline:
    """The headline of a training that is judged by examples kept aside.

    Args:
        title: what was trained.
        scalars: of the run; figures of validations are under `validation/`.
        judged_by: the figure that counts.
        axis: what that figure is, for people.
        picture: name of a picture in the run.
    """
    figures = {
        name.removeprefix(_JUDGED): float(values[-1])
        for name, (_, values) in scalars.items()
        if name.startswith(_JUDGED)
    }
    return Headline(
        title=title,
        figures={name: figures[name] for name in sorted(figures, key=lambda n: n != judged_by)},
        steps=last_step(scalars),
        curve=scalars.get(_JUDGED + judged_by),
        axes=("step", axis),
        picture=picture,
    )


def add_validations(report: Report, scalars: Scalars, labels: Mapping[str, str]) -> None:
    """A table of how each figure of the validations began, its least and greatest, and its end.

    Args:
        report: gets the table, if anything was validated.
        scalars: of the run.
        labels: what people call figures, where it is not their own name.
    """
    rows: list[Sequence[object]] = []
    for name, (steps, values) in scalars.items():
        if name.startswith(_JUDGED) and np.isfinite(values).any():
            label = name.removeprefix(_JUDGED)
            least, greatest = int(np.nanargmin(values)), int(np.nanargmax(values))
            row = [labels.get(label, label), float(values[0])]
            for at in (least, greatest):
                row += [float(values[at]), int(steps[at])]
            rows.append([*row, float(values[-1])])
    columns = ["figure", "first", "least", "at step", "greatest", "at step", "last"]
    if rows:
        report.table("Examples kept aside", columns, rows)


def thumbnail(run: RunFolder, name: str) -> bytes:
    """A small JPEG of a picture in a run, or of the middle of a video.

    Raises:
        UserError: there is none that can be read.
    """
    if name.endswith(".mp4"):
        source = open_source(run.fetch(name))
        middle = source.info.num_frames // 2
        frame = next(source.frames(middle, middle + 1), None)
        if frame is None:
            raise UserError(f"{run.storage.shown(name)}: has no picture in its middle")
        picture = frame.image
    else:
        picture = decode_image(run.read_bytes(name), run.storage.shown(name))
    image = Image.fromarray(picture)
    height, width = scaled_size(image.height, image.width, _PICTURE_PX)
    small, data = image.resize((width, height), Image.Resampling.LANCZOS), io.BytesIO()
    small.save(data, "JPEG", quality=82)
    return data.getvalue()
