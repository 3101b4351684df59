"""Any value of a config or a result in JSON's types, and back."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arcadia.atomic import explained, refuse_special
from arcadia.errors import UserError


def jsonable(value: Any) -> Any:
    """A value in JSON's types.

    Mappings and dataclasses become objects with string keys, sequences and sets arrays, paths
    strings, enum members their names, NumPy and torch numbers and arrays plain ones, classes and
    functions their dotted names, and dtypes and devices strings. Infinities and NaN stay floats,
    written as Python's `json` writes and reads them.

    Raises:
        TypeError: the value is of none of these.
    """
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): jsonable(v) for key, v in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted((jsonable(item) for item in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [jsonable(item) for item in value]
    to_list = getattr(value, "tolist", None)  # NumPy's and torch's, which are not imported here
    if to_list is not None:
        return to_list()
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__module__.partition(".")[0] in ("numpy", "torch"):  # dtypes and devices
        return str(value)
    raise TypeError(f"{value!r}: a {type(value).__name__} cannot be written as JSON")


def jsonable_or_text(value: Any) -> Any:
    """`jsonable`, for what is only to be shown: of a value that cannot be written its text."""
    try:
        return jsonable(value)
    except TypeError:
        return str(value)


def parsed(data: bytes | str, where: str) -> Any:
    """The value of a JSON text. UserError, which begins with `where`, for anything else."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"{where}: is not JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{where}: is not JSON: it is nested too deep") from error


def read_json(path: Path) -> Any:
    """The value of a file on this machine. UserError where there is none, or something else."""
    refuse_special(path)
    with explained("read", path):
        data = path.read_bytes()
    return parsed(data, str(path))
