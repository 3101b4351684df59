"""Options every command has, and the command line made from an options class."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from arcadia.errors import UserError, did_you_mean

T = TypeVar("T")


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

    known = flags(cls)
    for word in argv:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known and flag != "--help":
            raise UserError(f"{word.partition('=')[0]}: no such option{did_you_mean(flag, known)}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(cls, args=argv, prog=prog, default=default)  # type: ignore[arg-type]
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise UserError(f"{_first_sentence(complaint.getvalue())}; see {prog} --help") from None


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


def peek(argv: list[str], flag: str) -> str | None:
    """The value of `--flag value` or `--flag=value`, before the whole line can be parsed.

    Of several the last counts, as it does for `parse`.
    """
    value = None
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            value = argv[i + 1]
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
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
