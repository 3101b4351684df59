"""Dataclasses out of JSON that may have been edited: each value is of the type that is wanted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from arcadia.errors import UserError

T = TypeVar("T")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "words"}
_LONGEST = 60


def from_json(cls: type[T], values: Any, what: str = "options") -> T:
    """An instance of a dataclass, of values by the names of its fields.

    Lists become tuples where those are wanted, and mappings the dataclasses that are fields. What
    is not given keeps its default.

    Args:
        cls: the dataclass.
        values: as `json.loads` gives them.
        what: what errors call them.

    Raises:
        UserError: a name is unknown or missing, or a value is of another type or what the class
            itself refuses.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{what} {_short(values)}: must be values by their names")
    fields = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    if unknown := sorted(str(name) for name in set(values) - set(fields)):
        raise UserError(f"{what} {', '.join(unknown)}: this version does not know them")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        has_default = not (field.default is field.default_factory is dataclasses.MISSING)
        if not has_default and field.name not in values:
            raise UserError(f"{what}: has no {field.name}")
    hints = get_type_hints(cls)
    return cls(**{name: _converted(hints[name], v, name) for name, v in values.items()})


def _converted(hint: Any, value: Any, name: str) -> Any:
    """The value as the hint has it. UserError where it is of another type."""
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, name)  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        inner = [argument for argument in arguments if argument is not NoneType]
        if len(inner) == 1:
            return _converted(inner[0], value, name)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{name} {_short(value)}: must be a list")
        return tuple(_converted(arguments[0], item, name) for item in value)
    if origin is Literal:
        if value not in arguments:
            raise UserError(f"{name} {_short(value)}: must be one of {', '.join(arguments)}")
        return value
    if hint in _NAMES and not _is_of(hint, value):
        raise UserError(f"{name} {_short(value)}: must be {_NAMES[hint]}")
    return value


def _is_of(hint: type, value: Any) -> bool:
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and not math.isnan(value)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
