"""A nested state as a folder of files: no pickle, every byte checked, nothing held twice.

`arrays-00000.bin`, `arrays-00001.bin`, ... hold the bytes of all arrays back to back, in the order
in which the state has them, cut every 256 MB. `index.json`, written last, holds all the rest: the
state with dtype and shape in the place of each array, and size and CRC-32 of each file. A folder
without it is an interrupted save.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from arcadia.atomic import flush, temporary_name
from arcadia.errors import UserError

INDEX_NAME = "index.json"
FILE_BYTES = 256_000_000
"""Longest file of arrays."""
_PIECE_BYTES = 8 << 20  # what is read or written, and summed, while it is in the processor's cache
_FORMAT = "arcadia state"
_VERSION = 1
_ARRAY = "__array__"
_WAY_OUT = "copy the folder again from where it was saved, or use another checkpoint"


def write_state(state: dict[str, Any], folder: str | os.PathLike[str]) -> None:
    """Writes a state to a folder, straight from the memory of its arrays.

    Args:
        state: Nested dicts (with strings as keys), lists, numeric arrays, ints, floats, bools,
            strings and None. A tuple is read back as a list, a number of numpy as Python's.
        folder: Made if it is missing. What an interrupted save left in it is overwritten.

    Raises:
        UserError: If the folder holds a saved state already.
        TypeError: If the state holds anything else.
        OSError: If the disk is full, or the folder cannot be written.
    """
    folder = Path(folder)
    index_path = folder / INDEX_NAME
    if index_path.exists():
        raise UserError(f"{index_path}: a state is saved here already; give an empty folder")
    arrays: list[np.ndarray] = []
    described = _describe(state, arrays, "state")
    folder.mkdir(parents=True, exist_ok=True)
    body = {"files": _write_files(arrays, folder), "state": described}
    index = {"format": _FORMAT, "version": _VERSION, "crc32": _crc32_of(body), "body": body}
    temporary = temporary_name(index_path)
    try:
        temporary.write_text(json.dumps(index), encoding="utf-8")
        flush(temporary)
        os.replace(temporary, index_path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(folder)


def read_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what `write_state` wrote, each array into memory of its own.

    Raises:
        UserError: If a file is missing, damaged, no such state's or of another version.
        OSError: If a file cannot be read.
    """
    folder = Path(folder)
    body = _read_index(folder / INDEX_NAME)
    files = body["files"]
    for number, file in enumerate(files):
        path = _file_path(folder, number)
        if not path.is_file():
            raise UserError(f"{path}: this part of the saved state is missing; {_WAY_OUT}")
        if path.stat().st_size != file["bytes"]:
            raise UserError(
                f"{path}: damaged ({path.stat().st_size} bytes instead of {file['bytes']}); "
                f"{_WAY_OUT}"
            )
    arrays: list[np.ndarray] = []
    state = _rebuild(body["state"], arrays)
    _read_files(arrays, folder, files)
    return state


def _describe(value: Any, arrays: list[np.ndarray], where: str) -> Any:
    """The state as JSON has it; its arrays are appended to `arrays`."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise TypeError(f"{where} has the key {key!r}: cannot be saved as JSON")
        return {key: _describe(item, arrays, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        arrays.append(np.ascontiguousarray(value))
        return {_ARRAY: {"dtype": value.dtype.str, "shape": list(value.shape)}}
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"{where} is {kind}: only arrays of numbers, numbers and strings can be saved")


def _rebuild(value: Any, arrays: list[np.ndarray]) -> Any:
    """The opposite of `_describe`; the arrays are still to be filled."""
    if isinstance(value, list):
        return [_rebuild(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        array = np.empty(value[_ARRAY]["shape"], dtype=np.dtype(value[_ARRAY]["dtype"]))
        arrays.append(array)
        return array
    return {key: _rebuild(item, arrays) for key, item in value.items()}


def _pieces(arrays: Iterable[np.ndarray]) -> Iterator[tuple[int, memoryview]]:
    """All bytes of contiguous arrays in order: pieces of one file each, with that file's number."""
    position = 0
    for array in arrays:
        data = array.reshape(-1).view(np.uint8).data
        while len(data):
            number, used = divmod(position, FILE_BYTES)
            length = min(len(data), _PIECE_BYTES, FILE_BYTES - used)
            yield number, data[:length]
            data = data[length:]
            position += length


def _write_files(arrays: list[np.ndarray], folder: Path) -> list[dict[str, int]]:
    """Writes the arrays' bytes; returns size and checksum of each file."""
    files = []
    for number, pieces in groupby(_pieces(arrays), key=itemgetter(0)):
        num_bytes, checksum = 0, 0
        path = _file_path(folder, number)
        with path.open("wb") as file:
            for _, piece in pieces:
                file.write(piece)
                num_bytes += len(piece)
                checksum = zlib.crc32(piece, checksum)
        flush(path)
        files.append({"bytes": num_bytes, "crc32": checksum})
    return files


def _read_files(arrays: list[np.ndarray], folder: Path, files: list[dict[str, int]]) -> None:
    """Fills the arrays."""
    for number, pieces in groupby(_pieces(arrays), key=itemgetter(0)):
        path = _file_path(folder, number)
        checksum = 0
        with path.open("rb") as file:
            for _, piece in pieces:
                file.readinto(piece)
                checksum = zlib.crc32(piece, checksum)
        if checksum != files[number]["crc32"]:
            raise UserError(f"{path}: damaged (its checksum differs); {_WAY_OUT}")


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path}: no saved state there, or its saving was interrupted; use another checkpoint"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: damaged (not JSON); {_WAY_OUT}") from error
    if not isinstance(index, dict) or index.get("format") != _FORMAT:
        raise UserError(f"{path}: not the index of a saved state; give the folder of one")
    if index.get("version") != _VERSION:
        raise UserError(
            f"{path}: version {index.get('version')} of the format, this program reads "
            f"{_VERSION}; use the program that saved it"
        )
    if index.get("crc32") != _crc32_of(index.get("body")):
        raise UserError(f"{path}: damaged (its checksum differs); {_WAY_OUT}")
    return index["body"]


def _crc32_of(body: Any) -> int:
    # Python writes what it has read in the same words again, so the layout of the file is free.
    return zlib.crc32(json.dumps(body).encode())


def _file_path(folder: Path, number: int) -> Path:
    return folder / f"arrays-{number:05d}.bin"
