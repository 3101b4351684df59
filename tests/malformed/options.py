"""Options that are misspelt, of the wrong type, out of range or no number at all."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tests.malformed.cases import Case, rng_of

# By command: what its options are, and words with which it would begin.
COMMANDS = {
    "train dqn": ("algorithms.dqn.job:TrainOptions", "--game pong"),
    "train hdqn": ("algorithms.hdqn.job:HDQNTrainOptions", "--env KeyDoor-v0"),
    "train hdqn --env chain": ("algorithms.hdqn.chain:ChainOptions", "--episodes 10"),
    "train colorizer": ("pipelines.colorization.job:TrainOptions", "--data data"),
    "train sequence": ("pipelines.sequences.job:TrainOptions", ""),
    "places prepare": ("pipelines.places.job:PlacesOptions", "photos out"),
    "colorize": (
        "pipelines.colorization.coloring.job:ColorizeOptions",
        "photo.jpg --weights net.safetensors",
    ),
    "stylize": ("pipelines.stylization.job:StylizeOptions", "film.mp4 --style photo.png"),
    "evaluate": ("arcadia.commands:EvaluateOptions", "dqn"),
    "watch": ("arcadia.commands:WatchOptions", "dqn"),
    "export": ("arcadia.commands:ExportOptions", "dqn"),
    "report": ("arcadia.commands:ReportOptions", "dqn"),
    "tune": ("arcadia.commands:TuneOptions", "sweep.py"),
    "demo": ("arcadia.demo:DemoOptions", ""),
}
_A_COMMAND = 13  # cases
_OF_NO_KIND = ("", "\0", "a\0b")
_VALUES: dict[Any, tuple[str, ...]] = {
    int: (*_OF_NO_KIND, "ten", "1.5", "nan", "inf", "1e3", "-99999", "9" * 30, "0x10", "1,000"),
    float: (*_OF_NO_KIND, "ten", "nan", "inf", "-inf", "1e400", "-1e300", "1,5", "½"),
    bool: ("maybe", "", "2"),
    str: _OF_NO_KIND,
}


def option_cases() -> Iterator[Case]:
    """A dozen cases of every command, drawn from all of its options and all bad values."""
    for command, (target, words) in COMMANDS.items():
        module, _, name = target.partition(":")
        fields = list(_fields(getattr(importlib.import_module(module), name)))
        rng = rng_of(command)
        pairs = [(flag, value) for flag, kind in fields for value in _values(kind)]
        order = rng.permutation(len(pairs))
        for flag, value in _one_of_each([pairs[i] for i in order])[:_A_COMMAND]:
            shown = "..." if len(value) > 20 else value.encode("unicode_escape").decode()
            yield Case(
                name=f"{command} {flag}={shown}",
                words=(*command.split(), *words.split(), f"{flag}={value}"),
                needs=tuple({word.split("/")[0] for word in words.split()} | {"data", "photos"}),
            )
        flag = str(rng.choice([flag for flag, _ in fields if len(flag) > 6]))
        at = int(rng.integers(3, len(flag) - 1))
        misspelt = flag[:at] + flag[at + 1] + flag[at] + flag[at + 2 :]
        if misspelt != flag:
            yield Case(
                name=f"{command} {misspelt}",
                words=(*command.split(), *words.split(), misspelt, "1"),
                said=f"{misspelt}: no such option",
            )


def _one_of_each(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """In their order, but of each option one before any has two."""
    seen: dict[str, int] = {}
    ranked = []
    for flag, value in pairs:
        seen[flag] = seen.get(flag, 0) + 1
        ranked.append((seen[flag], flag, value))
    return [(flag, value) for _, flag, value in sorted(ranked, key=lambda pair: pair[0])]


def _fields(cls: type) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _fields(hint)  # type: ignore[arg-type]
        elif field.name not in ("json", "debug", "runs", "run", "videos", "inputs", "src", "out"):
            yield f"--{field.name.replace('_', '-')}", hint


def _values(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return ("nonsense", *_OF_NO_KIND)
    if get_origin(hint) in (Union, UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        return _values(inner[0]) if len(inner) == 1 else ()
    return _VALUES.get(hint, ())
