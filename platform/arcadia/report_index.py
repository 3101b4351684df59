"""A page over many runs: tables to sort and compare them by, and their curves."""

from __future__ import annotations

import json
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from arcadia.headline import Headline
from arcadia.report import Cell, Report
from arcadia.run_report import duration

FOOT = "The pages of the runs lie beside this one; nothing else is loaded."
_MOST_SERIES = 12
_MOST_OPTIONS = 16
_LONGEST_VALUE = 40  # letters; paths and lists are no column to sort by
_NO_OPTIONS = ("id", "data_hash", "network_sha256", "seed")  # the seed has a column


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of an index: a run, or a trial of a sweep."""

    name: str
    kind: str
    status: str
    headline: Headline
    href: str = ""
    """Of its own page."""
    started: datetime | None = None
    seconds: float | None = None
    seed: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """As `flat` gives them."""
    note: str = ""
    """In small letters below the name."""
    picture: bytes = b""
    """A small one, PNG or JPEG."""


def index_page(
    title: str,
    entries: Sequence[Entry],
    more: dict[str, int],
    cover: Callable[[Report], None] | None = None,
) -> Report:
    """A page over runs.

    Args:
        title: the page's.
        entries: the runs.
        more: figures to stand beside how many runs there are.
        cover: adds what stands in the place of the tables and charts of each kind.
    """
    kinds = {kind: [e for e in entries if e.kind == kind] for kind in sorted(_kinds(entries))}
    report = Report(title, subtitle=", ".join(kinds), foot=FOOT)
    report.stats(statuses("runs", entries) | more)
    if cover is not None:
        cover(report)
    if len(kinds) > 1 or cover is not None:
        rows = [[*_common(e, with_kind=True), _main_figure(e)] for e in newest(entries)]
        columns = ["run", "kind", "status", "started", "took", "seed", "steps", "main figure"]
        report.table("All runs", columns, rows, sortable=True)
    for kind, own in kinds.items() if cover is None else ():
        title = "Runs" if len(kinds) == 1 else f"Runs of the kind {kind}"
        add_kind(report, title, newest(own), is_only=len(kinds) == 1)
    return report


def add_kind(
    report: Report,
    title: str,
    entries: Sequence[Entry],
    *,
    is_only: bool,
    words: tuple[str, str] = ("run", "steps"),
    options: Sequence[str] | None = None,
) -> None:
    """The charts of the runs of one kind, and their table: figures, and options that differ.

    Args:
        report: gets them.
        title: of the table.
        entries: the runs, in the order in which they are shown.
        is_only: whether no other table tells of them.
        words: what one is called, and what it has come so far in.
        options: names of those to show; by default those in which the runs differ.
    """
    _add_charts(report, entries)
    figures = list(dict.fromkeys(name for e in entries for name in e.headline.figures))
    what, steps = words
    said = ["Times are UTC."] * is_only
    if options is None:
        options = differing([e.options for e in entries])
        said += [f"Of the options, those in which these {what}s differ."] * bool(options)
    columns = [what, "status", *(["started", "took", "seed", steps] if is_only else [])]
    rows = []
    for e in entries:
        common = _common(e) if is_only else [_name(e), e.status]
        values = [e.headline.figures.get(name, "") for name in figures]
        rows.append([*common, *values, *(option_cell(e.options.get(o)) for o in options)])
    report.table(
        title,
        [*columns, *figures, *(_short(name, options) for name in options)],
        rows,
        " ".join(said),
        sortable=True,
    )


def newest(entries: Sequence[Entry]) -> list[Entry]:
    """The same, the one that was started last first."""
    return sorted(entries, key=lambda e: -e.started.timestamp() if e.started else 0.0)


def statuses(what: str, entries: Sequence[Entry]) -> dict[str, int]:
    """How many there are, and how many of each status."""
    counts = {what: len(entries)}
    for e in entries:
        counts[e.status] = counts.get(e.status, 0) + 1
    return counts


def differing(options: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of options in which runs differ, but for those too long to be compared."""
    names = dict.fromkeys(name for own in options for name in own if name not in _NO_OPTIONS)
    found = []
    for name in names:
        values = {own[name] for own in options if name in own}  # an older Arcadia has fewer
        if len(values) > 1 and max(map(len, values)) <= _LONGEST_VALUE:
            found.append(name)
    return found[:_MOST_OPTIONS]


def option_cell(text: str | None) -> Cell:
    """An option's value, which is sorted as a number where it is one."""
    if text is None or text == "null":
        return Cell(value="")
    try:
        value = json.loads(text)
    except ValueError:
        return Cell(value=text)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return Cell(value=text, sort=float(value)) if is_number else Cell(value=text)


def when_cell(at: datetime | None) -> Cell:
    """A time in UTC, sorted as such."""
    if at is None:
        return Cell(value="")
    return Cell(value=f"{at.astimezone(UTC):%Y-%m-%d %H:%M}", sort=at.astimezone(UTC).isoformat())


def _add_charts(report: Report, entries: Sequence[Entry]) -> None:
    charts: dict[tuple[str, tuple[str, str]], list[Entry]] = {}
    for e in entries:
        if e.headline.curve is not None:
            charts.setdefault((e.headline.title, e.headline.axes), []).append(e)
    for (title, axes), own in charts.items():
        shown = own[:_MOST_SERIES]
        series = {e.name: e.headline.curve for e in shown if e.headline.curve is not None}
        is_cut = len(own) > len(shown)
        report.curve(title, series, *axes, f"The first {len(shown)} of {len(own)}." * is_cut)


def _common(e: Entry, with_kind: bool = False) -> list[Any]:
    """The cells that say the same of every kind."""
    return [
        _name(e),
        *([e.kind] if with_kind else []),
        e.status,
        when_cell(e.started),
        Cell(value="" if e.seconds is None else duration(e.seconds), sort=e.seconds),
        Cell(value="" if e.seed is None else str(e.seed), sort=e.seed),
        "" if e.headline.steps is None else e.headline.steps,
    ]


def _name(e: Entry) -> Cell:
    return Cell(value=e.name, href=e.href, note=e.note, picture=e.picture)


def _main_figure(e: Entry) -> Cell:
    name = next(iter(e.headline.figures), None)
    return Cell(value="") if name is None else Cell(value=e.headline.figures[name], note=name)


def _short(name: str, names: Iterable[str]) -> str:
    """The last part of a dotted name, where that says it."""
    last = name.rpartition(".")[2]
    return last if sum(n.rpartition(".")[2] == last for n in names) == 1 else name


def _kinds(entries: Iterable[Entry]) -> set[str]:
    return {e.kind for e in entries}
