"""The demo's last page: what came of each part, and what it is and is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from arcadia.jobs import job_of
from arcadia.media import image_bytes
from arcadia.media.images import decode_image
from arcadia.report import Report
from arcadia.report_folder import build_index
from arcadia.run_report import NOTE
from arcadia.runs import RunFolder
from arcadia.storage import Storage

if TYPE_CHECKING:
    from arcadia.demo import Part

_SHEET_PX = 720  # of its width


def write_note(run_dir: Path, part: Part) -> None:
    """Labels a part's run: its page and every index of it say what it is and what not."""
    RunFolder.open(run_dir).write_text(NOTE, f"{part.what} {part.what_not}")


def write_index(storage: Storage, parts: Sequence[Part]) -> str:
    """Writes the pages of the parts, and the one of all; answers where that is.

    Args:
        storage: the demo's folder.
        parts: those whose runs are there.
    """

    def cover(report: Report) -> None:
        report.note(
            "Some minutes on this machine. Below each part stands what it is, and what not."
        )
        for part in parts:
            _add(report, RunFolder.open(storage.below(part.name)), part)

    return build_index(storage, cover=cover).index


def _add(report: Report, run: RunFolder, part: Part) -> None:
    label = f"{part.what} {part.what_not}"
    headline = job_of(run).headline(run)
    pictures = run.storage.list("report/pictures")
    if len(pictures) > 1:  # of which a headline has one
        report.image(part.title, _sheet([run.read_bytes(name) for name in pictures]), label)
    elif headline.picture is None and headline.curve is not None:
        steps, values = headline.axes
        report.curve(part.title, {headline.title: headline.curve}, steps, values, label)
    elif headline.picture is None:
        report.text(part.title, [label])
    elif headline.picture.endswith(".mp4"):
        report.video(part.title, run.read_bytes(headline.picture), label)
    else:
        report.image(part.title, run.read_bytes(headline.picture), label)


def _sheet(pictures: Sequence[bytes]) -> bytes:
    """Pictures below each other, at one width: a JPEG."""
    rows = []
    for data in pictures:
        picture = Image.fromarray(decode_image(data, "picture"))
        size = _SHEET_PX, max(1, round(picture.height * _SHEET_PX / picture.width))
        rows.append(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)))
    return image_bytes(np.concatenate(rows), ".jpg")
