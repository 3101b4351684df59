"""One self-contained HTML page for a run: curves, pictures, video and tables, no network."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import itertools
import json
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from arcadia import __version__
from arcadia.curves import color, curve_svg
from arcadia.errors import UserError
from arcadia.jsonable import jsonable
from arcadia.media.images import png_bytes
from arcadia.redaction import HIDDEN, is_secret, redacted

_PICTURES = ("PNG", "JPEG", "GIF")
_PIXELATED_BELOW = 320
_PIXELATED_WIDTH = 480


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table that says more than its value."""

    value: Any
    """What is shown."""
    sort: float | str | None = None
    """What it is sorted by, where that is not the value itself."""
    href: str = ""
    """Relative address of a page that it leads to."""
    note: str = ""
    """In small letters below."""
    picture: bytes = b""
    """PNG or JPEG beside it, some 100 pixels wide."""


class Report:
    """A page, built card by card in the order that it is read.

    Everything given is text, never markup; credentials in it are hidden.

    Args:
        title: the page's.
        subtitle: a line below it.
        note: set apart below that, such as "stopped early: a demonstration".
        foot: at the end.
    """

    def __init__(
        self,
        title: str,
        subtitle: str = "",
        note: str = "",
        foot: str = "Everything on this page is inside this one file.",
    ):
        self._title = title
        self._subtitle = subtitle
        self._notes = [note] if note else []
        self._foot = foot
        self._cards: list[dict[str, Any]] = []

    def note(self, text: str) -> None:
        """One more that is set apart below the title."""
        self._notes.append(text)

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
        sortable: bool = False,
    ) -> None:
        """A table; columns of numbers are set to the right.

        Args:
            title: above it.
            columns: their names.
            rows: of values, or `Cell`s.
            caption: below it.
            sortable: pressing a column's name sorts by it.
        """
        cells = [[c if isinstance(c, Cell) else Cell(value=c) for c in row] for row in rows]
        for row in cells:
            if len(row) != len(columns):
                raise ValueError(f"{title!r}: want {len(columns)} cells a row, got {row}")
        is_number = [
            bool(cells) and all(_is_number(_key(row[i])) for row in cells)
            for i in range(len(columns))
        ]
        self._add(
            "table",
            title=title,
            caption=caption,
            sortable=sortable,
            columns=list(zip(columns, is_number, strict=True)),
            rows=[
                [_drawn(cell, number) for cell, number in zip(row, is_number, strict=True)]
                for row in cells
            ],
        )

    def facts(self, title: str, values: Mapping[str, Any], caption: str = "") -> None:
        """A list of names and what each is."""
        shown = [(name, _shown(value)) for name, value in values.items()]
        self._add("facts", title=title, caption=caption, rows=shown)

    def commands(self, title: str, lines: Mapping[str, str], caption: str = "") -> None:
        """Lines for a shell, each below what is said of it."""
        self._add("commands", title=title, caption=caption, lines=list(lines.items()))

    def config(self, config: Mapping[str, Any]) -> None:
        """The resolved options, folded away; nested ones with dotted names."""
        self._add("config", title="Configuration", rows=list(flat(config)))

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
        is_sortable = any(card.get("sortable") for card in self._cards)
        return _template().render(
            title=self._title,
            subtitle=self._subtitle,
            notes=self._notes,
            foot=self._foot,
            script=_script() if is_sortable else None,
            version=__version__,
            icon=_icon(),
            blocks=blocks,
        )

    def _add(self, kind: str, **card: Any) -> None:
        self._cards.append({"kind": kind, **card})


def flat(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Names and values of options, sorted; nested ones with dotted names, credentials hidden."""
    for name, value in _flat(jsonable(config)):
        yield name, HIDDEN if value and is_secret(name) else value


def _block(card: Mapping[str, Any]) -> str:
    kind = card["kind"]
    blocks = {"image": "media", "video": "media"} | {k: k for k in ("curve", "stats", "facts")}
    return blocks.get(kind, "wide")


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


def _key(cell: Cell) -> Any:
    return cell.value if cell.sort is None else cell.sort


def _drawn(cell: Cell, is_number: bool) -> dict[str, Any]:
    """What the template makes a cell of."""
    key = _key(cell)
    if is_number:
        shown = repr(float(key)) if key not in (None, "") and np.isfinite(key) else ""
    else:
        shown = "" if key is None else str(key)
    return {
        "text": _shown(cell.value),
        "number": is_number,
        "sort": shown,
        "href": cell.href,
        "note": cell.note,
        "picture": _base64(cell.picture),
        "mime": "image/png" if cell.picture[:4] == b"\x89PNG" else "image/jpeg",
    }


def _is_number(value: Any) -> bool:
    is_missing = value is None or value == ""
    return is_missing or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _flat(value[key], f"{name}.{key}" if name else key)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bytes(source: bytes | str | os.PathLike[str]) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode())


def _safe(value: Any) -> Any:
    """What the template shows of a value. `Markup` is made here, of nothing that was given."""
    return redacted(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_safe,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(_resource("report_template.html.j2"))


@functools.cache
def _script() -> dict[str, Markup]:
    """What sorts tables, and the hash by which a browser knows it."""
    text = _resource("report_sort.js")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "digest": Markup(digest)}


def _resource(name: str) -> str:
    return resources.files("arcadia").joinpath(name).read_text("utf-8")


@functools.cache
def _icon() -> str:
    """A PNG of the four squares in the page's head."""
    icon = np.full((32, 32, 3), (17, 19, 29), np.uint8)
    colors = ((255, 176, 59), (110, 168, 254), (74, 222, 155), (240, 139, 240))
    for square, rgb in zip(itertools.product((5, 18), (5, 18)), colors, strict=True):
        icon[square[0] : square[0] + 9, square[1] : square[1] + 9] = rgb
    return _base64(png_bytes(icon))
