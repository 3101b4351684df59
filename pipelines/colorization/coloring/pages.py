"""The report of a colouring: what went in and what came out, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from arcadia.errors import UserError
from arcadia.headline import Headline
from arcadia.media import Frame, Source, VideoWriter, image_bytes, side_by_side
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.storage import Storage, file_in
from pipelines.colorization.coloring.films import film_on_disk
from pipelines.colorization.coloring.pictures import decode_picture
from pipelines.colorization.coloring.plan import Item, parts_of
from pipelines.colorization.coloring.results import Manifest, Record
from pipelines.colorization.coloring.run import load_items

_PICTURES, _FILMS = "report/pictures", "report/films"
_MOST_PICTURES, _MOST_FILMS = 12, 4
_PANEL_PX = 360
_MOST_ROWS = 200
_FILM_S = 20
_FEW_CHANGES = 4  # of 255, by which a grey JPEG's colours may differ


def save_comparisons(run: RunFolder, outputs: Storage, done: Sequence[Item]) -> None:
    """Puts into a run what its report shows: a few results beside their sources.

    Args:
        run: the run.
        outputs: the folder of results.
        done: what is coloured.
    """
    pictures = [item for item in done if not item.is_film]
    step = max(len(pictures) / _MOST_PICTURES, 1)
    for index in range(min(len(pictures), _MOST_PICTURES)):
        item = pictures[int(index * step)]
        try:
            source, _ = decode_picture(item.source)
            result, _ = decode_picture(_address(outputs, item))
        except UserError:  # taken away since
            continue
        row = side_by_side(_panels(source, result), _PANEL_PX)
        run.write_bytes(f"{_PICTURES}/{item.number:08d}.jpg", image_bytes(row, ".jpg"))
    for item in [item for item in done if item.is_film][:_MOST_FILMS]:
        name = f"{_FILMS}/{item.number:08d}.mp4"
        if not run.exists(name):
            with film_on_disk(item.source) as a, film_on_disk(_address(outputs, item)) as b:
                _compare_films(run.scratch(name), a, b)
            run.sync()


def _compare_films(path: Path, source: Source, result: Source) -> None:
    info = source.info
    length = max(int(_FILM_S * info.fps), 1)
    writer = VideoWriter(
        path,
        info.fps,
        crf=23,
        time_base=info.time_base if info.is_variable else None,
        pixel_aspect=info.pixel_aspect,
    )
    with writer:
        pairs = zip(_readable(source), _readable(result), strict=False)
        for before, after in itertools.islice(pairs, length):
            height, width, _ = before.image.shape
            colored = after.image[:height, :width]  # odd sides were made even
            row = side_by_side({"input": before.image, "coloured": colored}, _PANEL_PX)
            writer.write(row, before.time)


def _readable(source: Source) -> Iterator[Frame]:
    """The frames that can be read."""
    try:
        yield from source.frames()
    except UserError:
        return


def page(run: RunFolder) -> Report:
    """The page of a run."""
    folder, items = load_items(run)
    records = _records(run, items)
    films = [item for item in items if item.is_film and item.number in records]
    frames = sum(records[film.number].frames for film in films)
    report = Report("Coloured pictures", subtitle=f"{run.name} · {run.status}")
    report.stats(
        {
            "Pictures": len(records) - len(films),
            "Films": len(films),
            "Frames": frames,
            "Not coloured": len(items) - len(records),
        }
    )
    for prefix, add in ((_PICTURES, report.image), (_FILMS, report.video)):
        for name in run.storage.list(prefix):
            item = items[int(name.rpartition("/")[2].partition(".")[0])]
            add(item.output, run.read_bytes(name), f"Of {item.shown}")
    problems = run.info["details"].get("problems", [])
    if problems:
        report.text("Problems", problems)
    report.table(
        "Results",
        ["file", "of", "frames"],
        [
            [item.output, item.shown, records[item.number].frames if item.is_film else ""]
            for item in [item for item in items if item.number in records][:_MOST_ROWS]
        ],
        f"In {folder}" + f"; the first {_MOST_ROWS}." * (len(records) > _MOST_ROWS),
    )
    return report


def headline(run: RunFolder) -> Headline:
    """What an index says of a run."""
    _, items = load_items(run)
    records = _records(run, items)
    films = [item for item in items if item.is_film and item.number in records]
    shown = [*run.storage.list(_PICTURES), *run.storage.list(_FILMS)]
    return Headline(
        title="Coloured pictures",
        figures={
            "pictures": len(records) - len(films),
            "films": len(films),
            "frames": sum(records[film.number].frames for film in films),
        },
        picture=shown[0] if shown else None,
    )


def _records(run: RunFolder, items: Sequence[Item]) -> dict[int, Record]:
    """Of the results that were written."""
    records: dict[int, Record] = {}
    for part in parts_of(items):
        records |= Manifest(run.storage, part).records
    return records


def _panels(source: np.ndarray, result: np.ndarray) -> dict[str, np.ndarray]:
    """The input, in grey too where it has colours, and the result."""
    panels = {"input": source}
    if np.ptp(source.astype(np.int16), axis=2).max() > _FEW_CHANGES:
        grey = (source @ np.array([0.299, 0.587, 0.114], np.float32)).round().astype(np.uint8)
        panels["its lightness"] = np.repeat(grey[:, :, None], 3, axis=2)
    return panels | {"coloured": result}


def _address(outputs: Storage, item: Item) -> str:
    """Path or address of a result."""
    if outputs.is_local:
        return str(outputs.local_path / item.output)
    return file_in(outputs.uri, item.output)
