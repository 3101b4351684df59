"""What is done of a part: the manifest that says which results count.

    parts/000012.json   of one part: results that are written, how often it was begun

A result is written whole and then gets its line. One without a line is made again; when its part
was begun, what lies in its place is the run's own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from arcadia.errors import UserError
from arcadia.storage import Stamp, Storage
from pipelines.colorization.coloring.plan import Item, Part

_MOST_STARTS = 3


@dataclass(frozen=True, kw_only=True)
class Record:
    """A result that is written."""

    item: int
    stamp: Stamp
    """Of the result."""
    frames: int = 1
    """Of a film."""
    problem: str = ""
    """What of the source could not be read, such as the end of a film."""


class Manifest:
    """What is done of a part. One process writes it, others may read."""

    def __init__(self, storage: Storage, part: Part):
        self._storage = storage
        self._part = part
        self._name = f"parts/{part.number:06d}.json"
        self._starts: dict[str, Any] = {}
        self.is_begun = storage.exists(self._name)
        self.records: dict[int, Record] = {}
        if self.is_begun:
            state = json.loads(storage.read_bytes(self._name))
            self._starts = state["starts"]
            for values in state["records"]:
                record = Record(**values | {"stamp": Stamp(*values["stamp"])})
                self.records[record.item] = record

    def begin(self, call: str) -> None:
        """Says that a worker begins, and counts how often without a result in between.

        Args:
            call: tells this use of workers from others, which count anew.

        Raises:
            UserError: it was begun thrice already, and whoever did so died.
        """
        here = {"call": call, "done": len(self.records)}
        number = self._starts.get("number", 0) if here.items() <= self._starts.items() else 0
        if number >= _MOST_STARTS:
            # Ray begins again for ever when one worker after another is killed.
            left = next(item for item in self._part.items if item.number not in self.records)
            raise UserError(
                f"{left.shown}: {number} workers in a row died at it or the next ones; Ray's logs "
                "say why; if memory ran out, give --size 512 or less"
            )
        self._starts = here | {"number": number + 1}
        self.write()

    def add(self, record: Record) -> None:
        """Says that a result is written; `write` makes it known."""
        self.records[record.item] = record

    def forget(self, item: Item) -> None:
        """Says that a result does not count any more: it was changed, or taken away."""
        self.records.pop(item.number, None)

    def write(self) -> None:
        """Puts what is known into the run."""
        state = {
            "starts": self._starts,
            "records": [asdict(record) for record in self.records.values()],
        }
        text = json.dumps(state, separators=(",", ":"))
        self._storage.write_bytes(self._name, text.encode())
        self.is_begun = True

    def is_done(self, item: Item, outputs: Storage) -> bool:
        """Whether a result is there as this run has written it."""
        record = self.records.get(item.number)
        return record is not None and outputs.stamp(item.output) == record.stamp
