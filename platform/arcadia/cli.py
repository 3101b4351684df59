"""The `arcadia` command: a table of commands, each loaded only when it is called.

Printing help imports neither Ray nor torch. Exit codes: 0 success, 1 a failure of the job, 2 a
mistake of the user's (one line, no traceback), 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from arcadia import __version__
from arcadia.credentials import without_credentials
from arcadia.errors import Incomplete, UserError, did_you_mean, readable


class Command(NamedTuple):
    """One command: where it is, `module:function` of (arguments, program name), and its line."""

    target: str
    summary: str

    def load(self) -> Callable[[list[str], str], dict[str, Any] | None]:
        """Imports the module and returns the function."""
        module, _, function = self.target.partition(":")
        return getattr(importlib.import_module(module), function)


COMMANDS: dict[str, Command] = {
    "train dqn": Command("algorithms.dqn.job:train", "train DQN on Atari or a Gymnasium env"),
    "train hdqn": Command("algorithms.hdqn.job:train", "train hierarchical DQN"),
    "train colorizer": Command("pipelines.colorization.job:train", "train a network that colours"),
    "train sequence": Command(
        "pipelines.sequences.job:train", "train on a sequence task, with noisy activations"
    ),
    "places prepare": Command(
        "pipelines.places.job:prepare", "turn pictures into a data set to train on"
    ),
    "colorize": Command("pipelines.colorization.coloring.job:colorize", "colour photos and films"),
    "stylize": Command("pipelines.stylization.job:stylize", "paint videos in a picture's style"),
    "evaluate": Command("arcadia.commands:evaluate", "play a run's policy, or judge its network"),
    "watch": Command("arcadia.commands:watch", "film a run's policy at play"),
    "export": Command("arcadia.commands:export", "write a run's policy as ONNX"),
    "report": Command("arcadia.commands:report", "write the reports of runs, HTML pages"),
    "tune": Command("arcadia.commands:tune", "run the sweep that a Python file describes"),
    "demo": Command("arcadia.demo:demo", "a few minutes of everything, on this machine"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(without_credentials(arguments))
    except UserError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return _fail(f"{error.filename}: {error.strerror}; give another path", 2)
        where = "" if "--debug" in arguments else " (--debug shows where)"
        return _fail(f"{type(error).__name__}: {error}{where}", 1)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(COMMANDS))
        return 0
    if arguments[0] == "--version":
        print(f"arcadia {__version__}")
        return 0
    for word in arguments:
        if "\0" in word:
            raise UserError(f"{word}: holds a null byte, which no name and no value may")
    name, rest = _find(arguments)
    if name not in COMMANDS:  # a group, such as `train`
        group = {k: v for k, v in COMMANDS.items() if k.startswith(f"{name} ")}
        if rest and rest[0] not in ("-h", "--help"):
            words = [k.removeprefix(f"{name} ") for k in group]
            near = did_you_mean(rest[0], words) or f"; there is {', '.join(words)}"
            raise UserError(f'{name} "{rest[0]}": nothing of that name{near}')
        print(_help(group))
        return 0
    from arcadia.cluster import state_environment

    state_environment()
    try:
        result = COMMANDS[name].load()(rest, f"arcadia {name}")
    except Incomplete as incomplete:
        _print_result(incomplete.result, rest)
        return _fail(str(incomplete), 1)
    _print_result(result or {}, rest)
    return 0


def _print_result(result: dict[str, Any], words: Sequence[str]) -> None:
    if "--json" in words:
        sys.stdout.flush()
        print(json.dumps(_without_nan(result)), flush=True)


def _find(arguments: list[str]) -> tuple[str, list[str]]:
    """The command or group that the first words name, and what follows them."""
    if " ".join(arguments[:2]) in COMMANDS:
        return " ".join(arguments[:2]), arguments[2:]
    first = arguments[0]
    known = {k.split()[0] for k in COMMANDS}
    if first not in known:
        near = did_you_mean(first, known | {"--help", "--version"}) or "; see arcadia --help"
        raise UserError(f'"{first}": no such command{near}')
    return first, arguments[1:]


def _help(commands: dict[str, Command]) -> str:
    width = max(len(name) for name in commands) + 2
    lines = [f"  arcadia {name:<{width}}{c.summary}" for name, c in commands.items()]
    return "\n".join(
        [
            f"Arcadia {__version__}: agents that play and models that paint, on Ray.",
            "",
            *lines,
            "",
            "Each takes --help, --run-dir, --seed, --address, --json and --debug.",
        ]
    )


def _without_nan(value: Any) -> Any:
    """A result with null for what is no finite number: JSON has no word for those."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fail(message: str, code: int) -> int:
    one_line = readable(" ".join(message.split()))
    print(f"arcadia: {one_line}", file=sys.stderr)
    return code
