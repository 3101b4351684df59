"""Tensors out of files that `torch.save` wrote, without unpickling them.

A pickle is a program. Here it is walked, opcode by opcode, with a table of the few that name
tensors; nothing that it asks for is imported or called, and any other opcode or name ends the
reading. Both of torch's formats are read: the zip archive, and the one before torch 1.6, in which
torchvision published its first networks.
"""

from __future__ import annotations

import contextlib
import os
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from arcadia.atomic import explained
from arcadia.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class _Storage(NamedTuple):
    """Numbers in a row, which tensors are views of."""

    dtype: torch.dtype
    key: str


class _View(NamedTuple):
    """Where a tensor's numbers are."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Symbol(str):
    """The name of something in a Python module, which stays a name."""


@dataclass
class _Object:
    """A tensor or parameter that is given its content after it was made, as before torch 0.4."""

    view: _View | None = None


def read_torch_file(path: str | os.PathLike[str], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a state dictionary in a file of `torch.save`.

    Args:
        path: the file.
        prefix: only tensors whose names begin so are read.

    Returns:
        Tensors on the CPU, contiguous, by name.

    Raises:
        UserError: no such file, damaged, or something else than a dictionary of tensors.
    """
    path = Path(path)
    with _damage_is_said(path), explained("read", path), open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        views, numbers = (_archive if is_archive else _legacy)(file)
        named = {name: view for name, view in views.items() if name.startswith(prefix)}
        if not named:
            raise ValueError(f'no tensor is called "{prefix}..."')
        return {
            name: numbers(view.storage).as_strided(view.size, view.stride, view.offset).contiguous()
            for name, view in named.items()
        }


_Contents = tuple[dict[str, _View], Callable[[_Storage], Tensor]]


def _legacy(file: BinaryIO) -> _Contents:
    """Five pickles in a row; then every storage as its length (int64) and its numbers."""
    if _walk(file) != _MAGIC or _walk(file) != _VERSION:
        raise ValueError("not a file of torch.save")
    if not _walk(file)["little_endian"]:
        raise ValueError("its numbers have the other byte order")
    views = _views(_walk(file))
    dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
    file_bytes = os.fstat(file.fileno()).st_size
    places: dict[str, tuple[int, int]] = {}
    for key in _walk(file):
        num_bytes = struct.unpack("<q", file.read(8))[0] * dtypes[key].itemsize
        if not 0 <= num_bytes <= file_bytes - file.tell():
            raise ValueError("it ends early")
        places[key] = file.tell(), num_bytes
        file.seek(num_bytes, os.SEEK_CUR)

    def numbers(storage: _Storage) -> Tensor:
        start, num_bytes = places[storage.key]
        file.seek(start)
        return torch.frombuffer(bytearray(file.read(num_bytes)), dtype=storage.dtype)

    return views, numbers


def _archive(file: BinaryIO) -> _Contents:
    """A zip archive of one pickle, and a file for every storage."""
    archive = zipfile.ZipFile(file)
    if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
        raise ValueError("torch.save compresses nothing")
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("not a file of torch.save")
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its numbers have the other byte order")
    with archive.open(pickles[0]) as pickle:
        views = _views(_walk(pickle))

    def numbers(storage: _Storage) -> Tensor:
        data = bytearray(archive.read(f"{folder}data/{storage.key}"))
        return torch.frombuffer(data, dtype=storage.dtype)

    return views, numbers


def _views(found: Any) -> dict[str, _View]:
    if not isinstance(found, dict):
        raise ValueError("it holds no dictionary of tensors")
    views = {name: _view(content) for name, content in found.items() if isinstance(name, str)}
    return {name: view for name, view in views.items() if isinstance(view, _View)}


def _view(content: Any) -> Any:
    return content.view if isinstance(content, _Object) else content


def _walk(file: Any) -> Any:
    """What one pickle describes, made of plain values and of the classes above.

    Raises:
        ValueError, or what else comes of a pickle that makes no sense.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, value, _ in pickletools.genops(file):
        name = opcode.name
        if name in _LITERALS:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "GLOBAL":
            stack.append(_Symbol(str(value).replace(" ", ".")))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            stack[-length:] = [tuple(stack[-length:])]
        elif name in ("APPEND", "APPENDS"):
            items = since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "BINPERSID":
            stack.append(_storage(*stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "BUILD":
            _fill(stack, stack.pop())
        elif name == "STOP":
            return stack.pop()
        elif name != "PROTO":
            raise ValueError(f"{name} is not needed for tensors")
    raise ValueError("it ends early")


def _storage(kind: str, type: Any, key: str, location: str, length: int, view: Any = None) -> Any:
    if kind != "storage" or view is not None:
        raise ValueError(f"it holds a {kind} of its own kind")
    return _Storage(_STORAGES[type], key)


def _made(symbol: Any, arguments: tuple[Any, ...]) -> Any:
    """What calling `symbol` would make, for the few that tensors are made by."""
    if not isinstance(symbol, _Symbol):
        raise ValueError("it calls what has no name")
    if symbol == "collections.OrderedDict":
        return dict(*arguments)
    if symbol == "torch.Size":
        return tuple(*arguments)
    if symbol in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
        return _View(*arguments[:4])
    if symbol == "torch._utils._rebuild_parameter":
        return _view(arguments[0])
    if symbol == "torch.nn.parameter.Parameter" or f"{symbol[:-6]}Storage" in _STORAGES:
        return _Object(*map(_view, arguments[:1]))
    raise ValueError(f"it asks for {symbol}")


def _fill(stack: list[Any], state: Any) -> None:
    """Gives the last object its content; what dictionaries are given besides is left out."""
    if isinstance(stack[-1], dict):
        return
    if not isinstance(stack[-1], _Object) or not isinstance(state, tuple):
        raise ValueError("it fills what is no tensor")
    if len(state) == 4:  # a tensor's
        stack[-1].view = _View(*state)
    elif len(state) == 5:  # a parameter's, its tensor first
        stack[-1].view = _view(state[0])


@contextlib.contextmanager
def _damage_is_said(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except (
        *(ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError),
        # Memory: a damaged length.
        *(struct.error, zipfile.BadZipFile, EOFError, MemoryError),
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: cannot be read as tensors of torch.save ({said}); get it again"
        ) from error
