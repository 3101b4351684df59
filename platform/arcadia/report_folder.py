"""`arcadia report FOLDER`: the pages of all runs in a folder, and an index of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from arcadia.atomic import explained
from arcadia.errors import UserError, did_you_mean
from arcadia.headline import thumbnail
from arcadia.jobs import job_of
from arcadia.report import Cell, Report, flat
from arcadia.report_index import Entry, index_page, when_cell
from arcadia.run_report import PAGE, build_report, note_of, times
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.sweep_trials import Sweep, is_sweep, read_sweep, sweep_page

INDEX = "index.html"
_GENERATOR = b'<meta name="generator" content="Arcadia'
_LONGEST_NOTE = 80  # letters, in an index
_OWN = (PAGE, INDEX, ".lock")  # files that do not make a run's page old


@dataclass(kw_only=True)
class Built:
    """What `build_index` has done."""

    index: str = ""
    """Where the index is."""
    written: list[str] = field(default_factory=list)
    """Where pages of runs were written."""
    num_current: int = 0
    """How many pages were up to date."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """By the name of a run or a sweep, why it is not shown."""


def build_index(
    storage: Storage,
    *,
    rebuild: bool = False,
    cover: Callable[[Report], None] | None = None,
) -> Built:
    """Writes the pages of runs that are missing or older than their run, and the index of all.

    Runs and sweeps are found in the folder's own folders, and in those of these.

    Args:
        storage: the folder, which may be a sweep's.
        rebuild: write all pages anew.
        cover: adds to the index what stands in the place of the charts and tables of each kind;
            not to a sweep's.

    Raises:
        UserError: there are none, the folder cannot be written, or it holds an index.html that is
            not Arcadia's.
    """
    is_own_sweep = is_sweep(storage)
    sweeps = _holding(storage, "tuner.pkl")
    names = [name for name in _holding(storage, "run.json") if name not in sweeps]
    if not (names or sweeps or is_own_sweep):
        raise UserError(_nothing(storage))
    if storage.exists(INDEX) and _GENERATOR not in storage.read_bytes(INDEX):
        raise UserError(
            f"{storage.shown(INDEX)}: is no page of Arcadia's and would be replaced; move it away"
        )
    built = Built()
    entries = _entries(storage, names, rebuild, built)
    if is_own_sweep:
        # A trial that is a run as well is shown once.
        report = sweep_page(read_sweep(storage, [e.name for e in entries]), storage)
    else:
        found = _sweeps(storage, sweeps, rebuild, built)
        report = index_page(_last(storage), entries, _more(found, built), cover)
        _add_sweeps(report, found)
    if built.unreadable:
        report.table("Unreadable", ["where", "why"], sorted(built.unreadable.items()))
    storage.write_bytes(INDEX, report.html().encode())
    built.index = storage.shown(INDEX)
    return built


def holds_runs(storage: Storage) -> bool:
    """Whether there are runs in a folder's own folders, or in those of these."""
    return bool(_holding(storage, "run.json"))


def _entries(storage: Storage, names: Sequence[str], rebuild: bool, built: Built) -> list[Entry]:
    entries = []
    # A folder of several seeds is itself a run and shows those in it, which come first.
    for name in sorted(names, key=lambda name: (-name.count("/"), name)):
        place = storage.below(name)
        try:
            run = RunFolder.open(place)
            if rebuild or not _is_current(place):
                built.written.append(str(build_report(place)))
            else:
                built.num_current += 1
            entries.append(_entry(run, name))
        except Exception as error:  # whatever is wrong with one, the others are shown
            built.unreadable[name] = _reason(error)
    return entries


def _entry(run: RunFolder, name: str) -> Entry:
    info, headline = run.info, job_of(run).headline(run)
    when, picture = times(info), b""
    if headline.picture is not None:
        try:
            picture = thumbnail(run, headline.picture)
        except (UserError, OSError):  # it is only an ornament
            picture = b""
    return Entry(
        name=name,
        kind=run.kind,
        status=run.status,
        headline=headline,
        href=f"./{quote(name)}/{PAGE}",
        started=when.started,
        seconds=when.seconds,
        seed=run.seed,
        options=dict(flat(run.config)),
        note=_shortened(note_of(run)) or headline.title,
        picture=picture,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NOTE else text[:_LONGEST_NOTE].rpartition(" ")[0] + " …"


def _is_current(place: Storage) -> bool:
    """Whether a run's page is there, and no other of its files is newer."""
    stamps = place.stamps()
    page = stamps.get(PAGE)
    others = [
        stamp.changed_ns for name, stamp in stamps.items() if PurePosixPath(name).name not in _OWN
    ]
    return page is not None and page.changed_ns >= max(others, default=0)


def _sweeps(
    storage: Storage, names: Sequence[str], rebuild: bool, built: Built
) -> dict[str, Sweep]:
    """The sweeps in a folder, each of which gets its own index."""
    found = {}
    for name in names:
        place = storage.below(name)
        try:
            inner = build_index(place, rebuild=rebuild)
            built.written += inner.written
            built.num_current += inner.num_current
            found[name] = read_sweep(place)
        except Exception as error:
            built.unreadable[name] = _reason(error)
    return found


def _more(sweeps: Mapping[str, Sweep], built: Built) -> dict[str, int]:
    counts = {"sweeps": len(sweeps), "unreadable": len(built.unreadable)}
    return {name: count for name, count in counts.items() if count}


def _add_sweeps(report: Report, sweeps: Mapping[str, Sweep]) -> None:
    rows = [
        [
            Cell(value=name, href=f"./{quote(name)}/{INDEX}"),
            when_cell(sweep.started),
            len(sweep.trials),
            sweep.metric or "",
            "" if sweep.best is None or sweep.metric is None else sweep.best,
        ]
        for name, sweep in sweeps.items()
    ]
    if rows:
        columns = ["sweep", "started", "trials", "metric", "best"]
        report.table("Sweeps", columns, rows, sortable=True)


def _holding(storage: Storage, file: str) -> list[str]:
    """The relative names of the folders with a file of this name, of depth one and two."""
    if storage.is_local:
        root = storage.local_path
        found = [p.relative_to(root) for depth in ("*/", "*/*/") for p in root.glob(depth + file)]
        names = [path.parent.as_posix() for path in found]
    else:
        paths = [PurePosixPath(name) for name in storage.list()]
        names = [str(p.parent) for p in paths if p.name == file and 2 <= len(p.parts) <= 3]
    return sorted(name for name in names if not any(p.startswith(".") for p in name.split("/")))


def _nothing(storage: Storage) -> str:
    """Why there is nothing to report on, and what may be meant."""
    where, hint = storage.shown(), "give the folder of a run, or one that holds runs"
    if storage.is_local and not storage.local_path.exists():
        path = storage.local_path
        with explained("read", path.parent):
            siblings = list(path.parent.iterdir()) if path.parent.is_dir() else []
        near = did_you_mean(path.name, [s.name for s in siblings if s.is_dir()])
        return f"{where}: no such folder{near or f'; {hint}'}"
    if storage.is_local and not storage.local_path.is_dir():
        return f"{where}: is a file; {hint}"
    return f"{where}: holds no run and no sweep; {hint}"


def _reason(error: Exception) -> str:
    """Why something could not be read, in one line."""
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return " ".join(reason.split())


def _last(storage: Storage) -> str:
    return PurePosixPath(storage.shown()).name or "Runs"
