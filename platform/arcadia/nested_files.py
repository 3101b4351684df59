"""Nested values with tensors in them as two files, none of which holds code.

NAME.safetensors    the tensors
NAME.json           all the rest, and where each tensor belongs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from arcadia.errors import UserError
from arcadia.jsonable import read_json


def save_nested(folder: Path, name: str, value: Any) -> None:
    """Writes mappings, lists, numbers, strings and tensors on the CPU, which must not share memory.

    Keys stay what they are, such as the whole numbers that optimisers count parameters by.
    """
    tensors: dict[str, Tensor] = {}
    others = _taken_apart(value, "", tensors)
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps(others))


def load_nested(folder: Path, name: str) -> Any:
    """What `save_nested` wrote; tuples come back as lists. UserError where it is damaged."""
    path = folder / f"{name}.safetensors"
    others = read_json(folder / f"{name}.json")
    try:
        return _put_together(others, load_file(path))
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: is damaged ({said}); use another checkpoint") from error


def on_cpu(value: Any) -> Any:
    """A copy of nested tensors in this process's memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: on_cpu(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [on_cpu(inner) for inner in value]
    return value


def _taken_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """What JSON can hold of nested values; tensors go into `tensors`, by the way to them."""
    if isinstance(value, Tensor):
        tensors[name] = value.contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        # Whole numbers, which an optimiser counts parameters by, stay such.
        return {
            "items": [[key, _taken_apart(v, f"{name}/{key}", tensors)] for key, v in value.items()]
        }
    if isinstance(value, list | tuple):
        return [_taken_apart(v, f"{name}/{at}", tensors) for at, v in enumerate(value)]
    return value


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _put_together(inner, tensors) for key, inner in value["items"]}
    if isinstance(value, list):
        return [_put_together(inner, tensors) for inner in value]
    return value
