"""One self-contained HTML page for a run: curves, pictures, video and tables, no network."""

from __future__ import annotations

import base64
import functools
import io
import itertools
import json
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from arcadia import __version__
from arcadia.curves import color, curve_svg
from arcadia.errors import UserError, said_of
from arcadia.jobs import job_of
from arcadia.jsonable import jsonable
from arcadia.media.images import png_bytes
from arcadia.runs import RunFolder

_PICTURES = ("PNG", "JPEG", "GIF")
_PIXELATED_BELOW = 320
_PIXELATED_WIDTH = 480


class Report:
    """A page, built card by card in the order that it is read.

    Everything given is text, never markup.

    Args:
        title: the page's.
        subtitle: a line below it.
        note: set apart below that, such as "stopped early: a demonstration".
    """

    def __init__(self, title: str, subtitle: str = "", note: str = ""):
        self._title = title
        self._subtitle = subtitle
        self._note = note
        self._cards: list[dict[str, Any]] = []

    def stats(self, values: Mapping[str, Any]) -> None:
        """A row of figures, each under its label; numbers are written with four digits."""
        shown = [(label, _shown(value)) for label, value in values.items()]
        self._add("stats", figures=[(label, text, len(text) > 12) for label, text in shown])

    def curve(
        self,
        title: str,
        series: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
        xlabel: str,
        ylabel: str,
        caption: str = "",
    ) -> None:
        """A chart of one or more series.

        Args:
            title: above it.
            series: by name, steps (N,) ascending and values (N,). One that is noisy and longer
                than 50 points is drawn faint, with its running mean on top.
            xlabel: what the steps count.
            ylabel: what the values are, with the unit.
            caption: below it.
        """
        legend = [(name, *color(index)) for index, name in enumerate(series)]
        self._add(
            "curve",
            title=title,
            caption=caption,
            series=dict(series),
            labels=(xlabel, ylabel),
            legend=legend if len(legend) > 1 else [],
        )

    def image(
        self,
        title: str,
        image: np.ndarray | bytes | str | os.PathLike[str],
        caption: str = "",
    ) -> None:
        """A picture: uint8 (H, W, 3), or a PNG, JPEG or GIF file, in memory or by its path.

        One narrower than 320 pixels, such as a game's screen, is shown enlarged with sharp pixels.
        """
        data = png_bytes(image) if isinstance(image, np.ndarray) else _bytes(image)
        try:
            with Image.open(io.BytesIO(data), formats=_PICTURES) as picture:
                mime, width = picture.get_format_mimetype(), picture.width
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise UserError(f'"{title}": is no picture that can be shown; make it anew') from error
        factor = _PIXELATED_WIDTH // width if width < _PIXELATED_BELOW else 0
        self._add(
            "image",
            title=title,
            caption=caption,
            data=_base64(data),
            mime=mime,
            pixels=factor * width,
        )

    def video(self, title: str, video: bytes | str | os.PathLike[str], caption: str = "") -> None:
        """A video that browsers play: an MP4 or WebM file, in memory or by its path."""
        data = _bytes(video)
        if data[4:8] == b"ftyp":
            mime = "video/mp4"
        elif data[:4] == b"\x1a\x45\xdf\xa3":
            mime = "video/webm"
        else:
            raise UserError(f'"{title}": want an MP4 or WebM file; make it anew')
        self._add("video", title=title, caption=caption, data=_base64(data), mime=mime)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        caption: str = "",
    ) -> None:
        """A table; columns of numbers are set to the right."""
        rows = [list(row) for row in rows]
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"{title!r}: want {len(columns)} cells a row, got {row}")
        is_number = [
            bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(columns))
        ]
        self._add(
            "table",
            title=title,
            caption=caption,
            columns=list(zip(columns, is_number, strict=True)),
            rows=[list(zip(map(_shown, row), is_number, strict=True)) for row in rows],
        )

    def config(self, config: Mapping[str, Any]) -> None:
        """The resolved options, folded away; nested ones with dotted names."""
        self._add("config", title="Configuration", rows=list(_flat(jsonable(config))))

    def text(self, title: str, paragraphs: str | Sequence[str]) -> None:
        """Prose: paragraphs, or one string with blank lines between them."""
        if isinstance(paragraphs, str):
            paragraphs = paragraphs.split("\n\n")
        self._add("text", title=title, caption="", paragraphs=[p.strip() for p in paragraphs])

    def html(self) -> str:
        """The whole page. The same report gives the same text."""
        blocks: list[dict[str, Any]] = []
        for kind, group in itertools.groupby(self._cards, _block):
            cards = [dict(card) for card in group]
            if kind == "stats":
                blocks += ({"kind": "stats", "figures": card["figures"]} for card in cards)
                continue
            for index, card in enumerate(cards):
                # Two stand side by side; of an odd number the first takes the whole width.
                card["wide"] = kind == "wide" or (index == 0 and len(cards) % 2 == 1)
            blocks.append({"kind": "cards", "cards": cards})
        for number, card in enumerate(card for b in blocks for card in b.get("cards", ())):
            if card["kind"] == "curve":
                svg = curve_svg(
                    card["series"], *card["labels"], wide=card["wide"], salt=f"curve {number}"
                )
                card["svg"] = Markup(svg)
        return _template().render(
            title=self._title,
            subtitle=self._subtitle,
            note=self._note,
            version=__version__,
            icon=_icon(),
            blocks=blocks,
        )

    def _add(self, kind: str, **card: Any) -> None:
        self._cards.append({"kind": kind, **card})


def write_report(run: RunFolder, report: Report) -> Path | str:
    """Puts the page into the run as `report.html`, whole or not at all; answers where it is."""
    run.write_text("report.html", report.html())
    return run.path / "report.html" if run.storage.is_local else run.storage.shown("report.html")


def build_report(run_dir: str | os.PathLike[str]) -> Path | str:
    """Writes the report of the run in a folder or at an address; answers where the page is.

    Raises:
        UserError: there is no run, or nothing reports on its kind.
    """
    run = RunFolder.open(run_dir)
    where = run.storage.shown()
    try:
        with said_of(where):
            report = job_of(run).report(run)
    # Of files that are there, whole, and not what they were written as.
    except (LookupError, TypeError, AttributeError, ValueError, OSError, EOFError) as error:
        if isinstance(error, UserError):
            raise
        said = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{where}: something in it is not as Arcadia writes it ({said}); --debug shows what"
        ) from error
    return write_report(run, report)


def _block(card: Mapping[str, Any]) -> str:
    kind = card["kind"]
    return {"image": "media", "video": "media", "curve": "curve", "stats": "stats"}.get(
        kind, "wide"
    )


def _shown(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        number = float(value)
        return f"{number:,.0f}" if 1000 <= abs(number) < 1e15 else f"{number:.4g}"
    return str(value)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _flat(value[key], f"{name}.{key}" if name else key)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bytes(source: bytes | str | os.PathLike[str]) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = resources.files("arcadia").joinpath("report_template.html.j2").read_text("utf-8")
    return environment.from_string(text)


@functools.cache
def _icon() -> str:
    """A PNG of the four squares in the page's head."""
    icon = np.full((32, 32, 3), (17, 19, 29), np.uint8)
    colors = ((255, 176, 59), (110, 168, 254), (74, 222, 155), (240, 139, 240))
    for square, rgb in zip(itertools.product((5, 18), (5, 18)), colors, strict=True):
        icon[square[0] : square[0] + 9, square[1] : square[1] + 9] = rgb
    return _base64(png_bytes(icon))
