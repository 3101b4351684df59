"""Whether a checkpoint's state is data and nothing else, found out before RLlib reads it.

A pickle is a program, and RLlib keeps state in pickles. That of DQN and h-DQN is numbers, words
and arrays, which a handful of constructors makes; here each file is read with these alone. One that
asks for anything else is refused, and whatever it asks for is neither imported nor called.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from arcadia.errors import UserError

CLASSES_FILE = "class_and_ctor_args.pkl"
"""What RLlib makes an object of before it gives it its state: classes and a config, which may hold
whatever a user put there. Only `DQN.from_checkpoint` reads one."""
_READ_INSTEAD = ("*.msgpack", "*.msgpck")  # RLlib would, where there are any
_ALLOWED = {
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "OrderedDict"),
    ("collections", "deque"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _PlainUnpickler(pickle.Unpickler):
    """Makes plain values and arrays of numbers."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return super().find_class(module_name, global_name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for something outside of it")


def check_plain(folder: Path, shown: str) -> None:
    """Refuses a checkpoint whose state is more than data.

    Args:
        folder: the checkpoint, or a part of one.
        shown: what errors call it.

    Raises:
        UserError: naming the file and what it asks for.
    """
    for path in sorted(file for kind in _READ_INSTEAD for file in folder.rglob(kind)):
        name = path.relative_to(folder)
        raise UserError(f"{shown}: {name} is of a format that Arcadia never writes; remove it")
    for path in _states(folder):
        with open(path, "rb") as file:
            said = _problem(file)
        if said is not None:
            raise UserError(
                f"{shown}: {path.relative_to(folder)} is not the state of a training ({said}); use "
                "another checkpoint"
            )


def _states(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.pkl")) if path.name != CLASSES_FILE)


def _problem(file: BinaryIO) -> str | None:
    try:
        _PlainUnpickler(file).load()
    except Exception as error:  # a damaged pickle raises whatever it comes upon
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None
