"""How far a job is: one live line on a terminal, a plain line now and then anywhere else; below it
a table, for jobs that have one."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as LiveLine
from rich.table import Column

_RATE_WINDOW_S = 30.0
_TABLE_PERIOD_S = 60.0  # without a terminal, the least time between two tables

TableMaker = Callable[[], RenderableType | None]
"""Makes a table as it is now, in any thread; None: there is none."""


class _LiveLines(LiveLine):
    """A live line with a table below it."""

    def __init__(self, *columns: ProgressColumn, make_table: TableMaker, **arguments: Any) -> None:
        self._make_table = make_table
        super().__init__(*columns, **arguments)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if (table := self._make_table()) is not None:
            yield table


class Progress:
    """A context manager that tells on stderr how much of a job is done.

    Args:
        total: how much there is to do, above 0.
        unit: what is counted, in the plural: "steps".
        description: what the job is, at the head of the line.
        start: how much was done before, by a run that goes on; it does not count for the rate.
        table: makes what to show below the line; without a terminal it is written once a minute,
            and at the end.
        period_s: without a terminal, the least time between two lines, in seconds.
        stream: where to write instead of stderr; stdout is kept for results.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        description: str,
        *,
        start: int = 0,
        table: TableMaker = lambda: None,
        period_s: float = 10.0,
        stream: TextIO | None = None,
    ):
        self._total = total
        self._unit = unit
        self._description = description
        self._period_s = period_s
        self._stream = sys.stderr if stream is None else stream
        self._done = start
        self._make_table = table
        self._fields = ""
        self._said: tuple[int, str] | None = None
        self._said_at_s = self._table_at_s = self._now_s = time.monotonic()
        # Where `done` changed in the last half minute: a rate over all of a long job says little
        # about now.
        self._points = deque([(self._now_s, start)])
        self._live = self._live_line()

    def _live_line(self) -> LiveLine | None:
        console = Console(file=self._stream, highlight=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return None
        live = _LiveLines(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn(
                "{task.fields[words]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            make_table=self._make_table,
            console=console,
            redirect_stdout=False,  # it may be a pipe that waits for the result
            expand=True,
            refresh_per_second=4,
        )
        self._task = live.add_task(
            self._description, total=self._total, completed=self._done, words=self._words()
        )
        return live

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            return
        if self._said != (self._done, self._fields):
            self._say()
        self._show_table()

    def update(self, done: int, **fields: str | float) -> None:
        """Says how much is done now.

        Args:
            done: of `total`, in all.
            fields: what else to show, as `name=value`; numbers with four digits.
        """
        self._now_s, self._done = time.monotonic(), done
        self._fields = " ".join(f"{name}={_short(value)}" for name, value in fields.items())
        if done != self._points[-1][1]:
            self._points.append((self._now_s, done))
        # Three at least, however long ago: of slow work they are all that is known.
        while len(self._points) > 3 and self._now_s - self._points[0][0] > _RATE_WINDOW_S:
            self._points.popleft()
        if self._live is not None:
            self._live.update(self._task, completed=done, words=self._words())
        elif self._now_s - self._said_at_s >= self._period_s:
            self._say()
            if self._now_s - self._table_at_s >= _TABLE_PERIOD_S:
                self._show_table()

    def _show_table(self) -> None:
        if (table := self._make_table()) is not None:
            Console(file=self._stream, highlight=False).print(table)
        self._table_at_s = self._now_s

    def _say(self) -> None:
        print(f"{self._description}: {self._words()}", file=self._stream, flush=True)
        self._said, self._said_at_s = (self._done, self._fields), self._now_s

    @property
    def rate(self) -> float | None:
        """How much was done a second, in the last half minute or so; None: nothing was yet."""
        (from_s, from_done), (to_s, to_done) = self._points[0], self._points[-1]
        if to_s <= from_s or to_done <= from_done:
            return None
        # A wait of more than two steps' time counts: the work may stand still.
        gap_s = (to_s - from_s) / (len(self._points) - 1)
        end_s = self._now_s if self._now_s - to_s > 2 * gap_s else to_s
        return (to_done - from_done) / (end_s - from_s)

    def _words(self) -> str:
        share = f"({self._done / self._total:.0%})"
        words = [f"{self._done:,}/{self._total:,}", self._unit, share]
        if (rate := self.rate) is not None:
            words.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.3g}/s")
            if (done := self._points[-1][1]) < self._total:
                words.append(f"ETA {_clock((self._total - done) / rate)}")
        return " ".join([*words, self._fields]).rstrip()


def _short(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
