"""Options every command has, and the command line made from an options class."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from arcadia.cluster import check_address
from arcadia.errors import UserError, did_you_mean

T = TypeVar("T")

_LARGEST = 2**53
"""Whole numbers up to here are exact as floats, too."""
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command takes."""

    run_dir: str | None = None
    """Folder, or s3:// or gs:// address, of the run that is written; by default a new folder in
    runs/. A command that looks at a run writes into that one."""
    seed: int | None = None
    """Seed of all random numbers; by default a new one, which the run records."""
    address: str | None = None
    """Ray cluster to join: host:port, ray://host:port or auto; by default Ray starts here, and
    inside a submitted job the job's cluster is joined."""
    json: bool = False
    """End stdout with one line of JSON that holds the result."""
    debug: bool = False
    """Show the traceback of an error."""

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed < 0:
            raise UserError(f"seed {self.seed}: must be at least 0")
        if self.seed is not None and self.seed > _LARGEST_SEED:
            raise UserError(f"seed {self.seed}: must be at most {_LARGEST_SEED:,}")
        if self.address:
            check_address(self.address)


def parse(cls: type[T], argv: list[str], prog: str, default: T | None = None) -> T:
    """Makes an instance of a dataclass from a command line.

    Args:
        cls: a dataclass whose fields, and those of the dataclasses in it, are the options.
        argv: the words after the command's name.
        prog: how help calls the command.
        default: where the defaults come from; None: from the class.

    Raises:
        UserError: for an unknown option (naming the nearest) or an unusable value, in one line.
        SystemExit: 0, after `--help` was printed.
    """
    import tyro

    known, switches = flags(cls), _switches(cls)
    for word in argv:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known and flag != "--help":
            raise UserError(f"{word.partition('=')[0]}: no such option{did_you_mean(flag, known)}")
        if flag in switches and "=" in word:
            raise UserError(f"{word}: takes no value; write {flag} or {switches[flag]}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = tyro.cli(cls, args=argv, prog=prog, default=default)  # type: ignore[arg-type]
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise UserError(f"{_first_sentence(complaint.getvalue())}; see {prog} --help") from None
    assert parsed is not None
    _check_values(parsed)
    return parsed


def flags(cls: type[Any]) -> list[str]:
    """The option names of a dataclass as the command line spells them, nested ones included."""
    names: list[str] = []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            names += flags(hint)  # type: ignore[arg-type]
            continue
        name = field.name.replace("_", "-")
        names += [f"--{name}", f"--no-{name}"] if hint is bool else [f"--{name}"]
    return names


def bare_words(cls: type[Any], argv: Sequence[str]) -> list[str]:
    """The words of a command line that are neither an option nor its value, which every option is
    taken to have that is no switch of the dataclass."""
    switches = _switches(cls)

    def takes_value(word: str) -> bool:
        return word[:2] == "--" and "=" not in word and word.replace("_", "-") not in switches

    pairs = itertools.pairwise(["", *argv])
    return [word for before, word in pairs if word[:1] != "-" and not takes_value(before)]


def _switches(cls: type[Any]) -> dict[str, str]:
    """By the flag of something that is on or off, the flag for the other."""
    names = flags(cls)
    pairs = [(f"--{name.removeprefix('--no-')}", name) for name in names if name[:5] == "--no-"]
    return {a: b for on, off in pairs if on in names for a, b in ((on, off), (off, on))}


def _check_values(options: Any) -> None:
    """Refuses what no option is meant to have, whatever else its class says.

    Raises:
        UserError: words that are empty, numbers that are not finite or too large to count with.
    """
    for field in dataclasses.fields(options):
        name, value = field.name, getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            _check_values(value)
        for one in value if isinstance(value, tuple) else (value,):
            if one == "":
                raise UserError(f"{name}: is empty; give a value, or leave it out")
            if isinstance(one, float) and not math.isfinite(one):
                raise UserError(f"{name} {one}: must be a finite number")
            if isinstance(one, int) and abs(one) > _LARGEST:
                raise UserError(f"{name} {one}: must be at most {_LARGEST:,}")


def peek(argv: list[str], flag: str) -> str | None:
    """The value of `--flag value` or `--flag=value`, before the whole line can be parsed.

    Of several the last counts, as it does for `parse`. UserError for one that is empty.
    """
    value = None
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            value = argv[i + 1]
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    if value == "":
        raise UserError(f"{flag}: is empty; give a value, or leave it out")
    return value


def command_words(prog: str, argv: list[str]) -> list[str]:
    """The command line as it was given, for the run's record."""
    return [*prog.split(), *argv] if argv is not sys.argv else list(sys.argv)


def _first_sentence(box: str) -> str:
    """What tyro's framed complaint says, without the frame and the help that follows."""
    lines = [re.sub(r"[│╭╮╰╯]", "", line).strip() for line in box.splitlines()]
    said = []
    for line in lines[1:]:
        if re.fullmatch(r"[─-]*", line):  # of dashes where stdout may not take box characters
            if said:
                break
            continue
        said.append(line)
    # What a class says of its own fields names them; tyro puts the name of the class before it.
    sentence = re.sub(r"^Error parsing [A-Za-z]\w*: ", "", " ".join(said))
    return sentence or "the command line cannot be read"
