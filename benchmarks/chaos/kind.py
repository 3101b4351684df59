"""A kind of job as chaos needs to know it: its words, how far it is, what a whole result is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from arcadia.runs import RunFolder

DRIVER = "the command"
"""What the process is called that was begun, among those that are killed."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """A process that was killed."""

    victim: str
    """Its actor's class, or its task; `DRIVER`."""
    at: float
    """Seconds since the epoch."""
    done: int
    """How much was finished just before."""
    finished: Mapping[str, int]
    """See `Kind.finished`, just before."""
    waited_s: float
    """Until more was finished than ever before."""
    ended: str = ""
    """What the command said, where it ended by it and was begun again; empty: it went on."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A job that is over."""

    result: Mapping[str, Any]
    """What the last call ended its stdout with."""
    said: str
    """All that all calls wrote for people."""
    blows: Sequence[Blow]
    """In their order."""


class Kind(ABC):
    """A kind of job; what it is, subclasses say.

    Args:
        folder: where it stands: everything it reads and writes is there.
        seconds: that it is to last, about, on two cores, where its work is fixed beforehand.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    """What `done` counts, in the plural."""
    module: ClassVar[str] = "arcadia"
    """Of Python, that is the command."""

    def __init__(self, folder: Path, seconds: float):
        self.folder = folder
        self.seconds = seconds
        self.run = folder / "run"

    @abstractmethod
    def prepare(self) -> None:
        """Makes what it reads."""

    @abstractmethod
    def words(self) -> list[str]:
        """Of the command, to begin."""

    @abstractmethod
    def again(self, *, to_the_end: bool) -> list[str]:
        """Of the command, to go on.

        Args:
            to_the_end: whether nothing will be killed any more. A kind that can be told how long
                to go on is told now.
        """

    @abstractmethod
    def done(self) -> int:
        """How much is finished and will not be lost, in `unit`."""

    def finished(self) -> dict[str, int]:
        """What is finished for good, by name, with a stamp that changes where it is made again;
        empty where `done` says it all."""
        return {}

    @abstractmethod
    def missing(self, ended: Ended) -> list[str]:
        """What a whole result has and this one has not, a line for each; empty: it is complete."""

    def rewound(self, ended: Ended) -> str:
        """What was made again, as people read it."""
        return f"{len(self.made_again(ended)):,} finished {self.unit}"

    def made_again(self, ended: Ended) -> set[str]:
        """Of what was finished when something was killed, what was made once more."""
        now, again = self.finished(), set()
        for blow in ended.blows:
            again |= {name for name, stamp in blow.finished.items() if now.get(name) != stamp}
        return again


def last_checkpoint(run: Path) -> int:
    """The step of a run's last whole checkpoint; 0: it has none, or there is no run yet."""
    steps = RunFolder.open(run).checkpoints() if RunFolder.is_run(run) else []
    return steps[-1] if steps else 0


def stamps(paths: Sequence[Path]) -> dict[str, int]:
    """Times of change by name, of those that are there."""
    found = {}
    for path in paths:
        try:
            found[path.name] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found
