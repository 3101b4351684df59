"""A run's page: what its job tells of it, and what is told of every run: where it comes from, how
long it took, and how to make it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from arcadia.cli import COMMANDS
from arcadia.errors import UserError, said_of
from arcadia.jobs import job_of
from arcadia.report import Report
from arcadia.runs import RunFolder
from arcadia.storage import Storage

PAGE = "report.html"
"""Of a run."""
NOTE = "note.txt"
"""What people say of a run: a text that its page and the index show."""
_LONGEST_NOTE = 2_000
_FIRST_VERSIONS = ("arcadia", "python", "ray", "torch")
_ONE_START_S = 60  # a run says "running" when it is made, and again when its work begins


def build_report(run_dir: str | os.PathLike[str] | Storage) -> Path | str:
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


def write_report(run: RunFolder, report: Report) -> Path | str:
    """Puts the page into the run as `report.html`, whole or not at all; answers where it is.

    Args:
        run: what is told of.
        report: what its job tells; what every run has comes below it.
    """
    if note := note_of(run):
        report.note(note)
    add_origin(report, run.info, run.storage.shown())
    report.config(run.config)
    run.write_text(PAGE, report.html())
    return run.path / PAGE if run.storage.is_local else run.storage.shown(PAGE)


def note_of(run: RunFolder) -> str:
    """What `note.txt` in a run says, in one paragraph; empty where there is none."""
    if not run.exists(NOTE):
        return ""
    text = " ".join(run.read_bytes(NOTE).decode(errors="replace").split())
    return text if len(text) <= _LONGEST_NOTE else text[:_LONGEST_NOTE] + "…"


class Times(NamedTuple):
    """When a run was at work."""

    started: datetime | None
    seconds: float | None
    """Of all its attempts; None: none has come to its end."""
    attempts: int
    is_least: bool
    """Whether an attempt was killed, whose seconds nobody knows."""


def times(info: Mapping[str, Any]) -> Times:
    """What the history of a `run.json` says."""
    since: datetime | None = None
    seconds, attempts, is_least, is_known = 0.0, 0, False, False
    for entry in info.get("history", ()):
        at = datetime.fromisoformat(entry["at"])
        if entry["status"] == "running":
            is_same = since is not None and (at - since).total_seconds() < _ONE_START_S
            attempts += not is_same
            is_least |= since is not None and not is_same
            since = since if is_same else at
        elif since is not None:
            seconds, since, is_known = seconds + (at - since).total_seconds(), None, True
    started = info.get("started")
    return Times(
        started=datetime.fromisoformat(started) if started else None,
        seconds=seconds if is_known else None,
        attempts=attempts,
        is_least=is_least,
    )


def add_origin(report: Report, info: Mapping[str, Any], shown: str) -> None:
    """How to repeat a run or a sweep, when and where it was made, and the versions.

    Args:
        report: gets the cards.
        info: what `run.json` says, or a sweep's record.
        shown: the place of the run, for people.
    """
    commit, command = info.get("commit") or "", info.get("command")
    lines: dict[str, str] = {}
    if commit:
        lines["The code"] = f"git checkout {commit.removesuffix('-dirty')}"
    if command:
        again = words_again(command, info.get("seed"), info["kind"])
        lines["The command"] = shlex.join(command)
        if sorted(again) != sorted(command):
            lines["The same once more, with its seed"] = shlex.join(again)
        name = next((n for n in COMMANDS if command[1 : 1 + len(n.split())] == n.split()), None)
        if info["status"] != "completed" and name is not None and name != "tune":
            words = [command[0], *name.split(), "--resume", shown]
            lines["It is not finished; this goes on with it"] = shlex.join(words)
    said = []
    if commit.endswith("-dirty"):
        said.append("The code had changes that were not committed.")
    if not command:
        said.append("A program made it, and no command line: the configuration below says how.")
    if any("…" in word for word in command or ()):
        said.append("Credentials in the command are left out.")
    report.commands("How to repeat it", lines, " ".join(said))
    report.facts("When and where", _when_and_where(info))
    versions = info.get("versions", {})
    first = [name for name in _FIRST_VERSIONS if name in versions]
    ordered = {name: versions[name] for name in [*first, *versions]}
    report.facts("Versions", ordered)


def words_again(command: Sequence[str], seed: int | None, kind: str) -> list[str]:
    """A command line that does the same in a new folder, with the seed that was drawn.

    Args:
        command: as it was given.
        seed: the run's; None: it has none.
        kind: the run's. One of several seeds is made again alone.
    """
    drop = {"--run-dir", "--run_dir"}
    if seed is not None:
        drop.add("--seed")
    if not kind.endswith("-seeds"):
        drop.add("--seeds")
    words, is_value = [], False
    for word in command:
        flag, equals, _ = word.partition("=")
        if not is_value and flag not in drop:
            words.append(word)
        is_value = not is_value and flag in drop and not equals
    return words if seed is None else [*words, "--seed", str(seed)]


def duration(seconds: float) -> str:
    """A length of time, as people say it: "1 h 02 min", "2 min 48 s", "3.1 s"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def moment(at: datetime) -> str:
    """A time, as people read it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _when_and_where(info: Mapping[str, Any]) -> dict[str, Any]:
    when, machine = times(info), info.get("machine", {})
    facts: dict[str, Any] = {"status": info["status"]}
    if when.started is not None:
        facts["started"] = moment(when.started)
    if info.get("ended"):
        facts["ended"] = moment(datetime.fromisoformat(info["ended"]))
    if when.seconds is not None:
        facts["took"] = "at least " * when.is_least + duration(when.seconds)
    if when.attempts > 1:
        facts["attempts"] = when.attempts
    if info.get("seed") is not None:
        facts["seed"] = str(info["seed"])
    if info.get("details", {}).get("error"):
        facts["error"] = info["details"]["error"]
    gpus = machine.get("gpus", [])
    names = {gpu: gpus.count(gpu) for gpu in gpus}
    facts |= {
        "system": machine.get("platform"),
        "processor": machine.get("processor"),
        "CPUs": machine.get("num_cpus"),
        "GPUs": ", ".join(f"{n} x {gpu}" if n > 1 else gpu for gpu, n in names.items()),
    }
    return {name: value for name, value in facts.items() if value}
