"""The exceptions that are addressed to a person, and the words that help them on."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """A user's mistake: one line that names the thing, the value and the way out.

    The command line prints it without a traceback and exits with 2.
    """


class Incomplete(Exception):
    """A job that did what it could, and could not do all.

    The command line prints the line, ends stdout with the result where `--json` asks for it, and
    exits with 1.

    Args:
        message: one line that names what is missing.
        result: what there is, as the command would have returned it.
    """

    def __init__(self, message: str, result: dict[str, Any]):
        super().__init__(message)
        self.result = result


def readable(text: str) -> str:
    """A text with escapes in the place of what does not show, or would move a terminal's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def said_of(where: str) -> Iterator[None]:
    """Puts a place before what a UserError of the block says."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` most likely meant, whatever its case.

    Args:
        name: what was asked for.
        candidates: what there is; spelled as it should be offered.

    Returns:
        The candidate as spelled, or None when nothing is close.
    """
    # Of two that differ only in case, the first is offered.
    spelled: dict[str, str] = {}
    for candidate in candidates:
        spelled.setdefault(candidate.casefold(), candidate)
    close = difflib.get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return spelled[close[0]] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean "pong"?` for the end of an error message, or an empty string."""
    match = nearest(name, candidates)
    return f'; did you mean "{match}"?' if match is not None else ""
