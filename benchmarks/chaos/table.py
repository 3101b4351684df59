"""What came of it, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.chaos.ordeal import Outcome

COLUMNS = (
    "kind",
    "killed, in this order",
    "s until it went on, after each",
    "s lost in all",
    "made again",
    "begun again",
    "complete",
)


def row(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one kind."""
    return (
        outcome.kind,
        ", ".join(outcome.killed),
        ", ".join(f"{seconds:.0f}" for seconds in outcome.waited_s),
        f"{outcome.lost_s:.0f} of {outcome.seconds:.0f}",
        outcome.rewound,
        str(outcome.begun_again),
        f"yes: {outcome.done:,} {outcome.unit}" if outcome.is_complete else "NO",
    )


def table(outcomes: Sequence[Outcome], title: str) -> Table:
    """A table for a terminal."""
    made = Table(title=title, show_lines=True)
    for column in COLUMNS:
        made.add_column(column, overflow="fold")
    for outcome in outcomes:
        made.add_row(*row(outcome))
    return made


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Rows of a table in Markdown, its head first."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(row, outcomes)]
    cells = ((cell.replace("|", r"\|") for cell in one) for one in rows)
    return "\n".join(f"| {' | '.join(one)} |" for one in cells)


def problems(outcome: Outcome) -> list[str]:
    """Lines on what was not as it should be."""
    return [
        *(f"{outcome.kind}: not complete: {line}" for line in outcome.missing),
        *(f"{outcome.kind}: ended by the death of {line}" for line in outcome.ended_by),
        *(f"{outcome.kind}: left behind: {title}" for title in outcome.left_behind),
    ]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """All of it, in JSON's types."""
    return asdict(outcome) | {"complete": outcome.is_complete, "lost_s": outcome.lost_s}
