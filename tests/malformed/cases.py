"""What a case of malformed input is: the words of a command, and the files that it finds."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

SEED = 20_160


class Link(NamedTuple):
    """A symbolic link."""

    to: str


class Pipe(NamedTuple):
    """A pipe that nobody writes to."""


class Folder(NamedTuple):
    """An empty folder."""


Entry = bytes | Link | Pipe | Folder
Tree = Mapping[str, Entry]
"""What is in a folder, by path."""
Damage = Callable[[bytes, np.random.Generator], Entry]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command that must end with one line on stderr, and leave everything as it was.

    Attributes:
        name: of the case, unlike any other's.
        words: of the command line; all paths are of files in the current folder.
        needs: names of the whole things that are put there; see `Material`.
        change: makes the malformed ones of them: what is to be put there besides or instead.
        said: a part of the line that must be there: the file's or the option's name, mostly.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    change: Callable[[Tree], Tree] = field(default=lambda whole: {})
    said: str = ""

    def put(self, where: Path, whole: Tree) -> None:
        """Writes the case's files."""
        needed = {
            path: entry
            for path, entry in whole.items()
            if any(path == name or path.startswith(f"{name}/") for name in self.needs)
        }
        changed = self.change(needed)
        # What becomes a link or a file is no folder any more.
        for path, entry in {**needed, **changed}.items():
            if path in changed or not any(path.startswith(f"{other}/") for other in changed):
                _put(where / path, entry)


def rng_of(name: str) -> np.random.Generator:
    """Random numbers of a case, the same whatever other cases there are."""
    return np.random.default_rng((SEED, zlib.crc32(name.encode())))


def _put(path: Path, entry: Entry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match entry:
        case Link(to):
            path.symlink_to(to)
        case Pipe():
            os.mkfifo(path)
        case Folder():
            path.mkdir(exist_ok=True)
        case _:
            path.write_bytes(entry)


def made(
    name: str, words: str, said: str, needs: str, change: Callable[[Tree], Tree] | Tree
) -> Case:
    """A case, of words with blanks between them, and of what is put there or what makes that."""
    return Case(
        name=name,
        words=tuple(words.split()),
        needs=tuple(needs.split()),
        change=change if callable(change) else lambda whole: change,
        said=said,
    )


def described(entry: Entry, words: Mapping[str, str]) -> bytes:
    """A safetensors file with other words about itself."""
    assert isinstance(entry, bytes)
    length = struct.unpack("<Q", entry[:8])[0]
    head = json.loads(entry[8 : 8 + length])
    head["__metadata__"] |= words
    return packed(json.dumps(head).encode(), entry[8 + length :])


def packed(head: bytes, data: bytes) -> bytes:
    """A safetensors file of a head and the tensors' bytes."""
    return struct.pack("<Q", len(head)) + head + data


# What may have become of any file.


def empty(data: bytes, rng: np.random.Generator) -> Entry:
    return b""


def noise(data: bytes, rng: np.random.Generator) -> Entry:
    return rng.bytes(300)


def zeros(data: bytes, rng: np.random.Generator) -> Entry:
    return bytes(4096)


def text(data: bytes, rng: np.random.Generator) -> Entry:
    return b"<html><body>404 not found: \xe2\x98\x83</body></html>\n" * 9


def cut(data: bytes, rng: np.random.Generator) -> Entry:
    return data[: int(rng.integers(1, max(len(data) // 3, 2)))]


def harmed_head(data: bytes, rng: np.random.Generator) -> Entry:
    head = np.frombuffer(data[:48], np.uint8) ^ rng.integers(1, 256, len(data[:48]), np.uint8)
    return head.tobytes() + data[48:]


def folder(data: bytes, rng: np.random.Generator) -> Entry:
    return Folder()


def dangling(data: bytes, rng: np.random.Generator) -> Entry:
    return Link("nowhere")


def pipe(data: bytes, rng: np.random.Generator) -> Entry:
    return Pipe()


DAMAGES: tuple[Damage, ...] = (
    *(empty, noise, zeros, text, cut, harmed_head),
    *(folder, dangling, pipe),
)


def damaged(
    name: str,
    words: str,
    path: str,
    *,
    needs: tuple[str, ...] = (),
    without: tuple[Damage, ...] = (),
) -> Iterator[Case]:
    """Cases of a command that reads a file, one for each way in which that may be damaged.

    Args:
        name: of the cases, before the damage's.
        words: of the command.
        path: of the file.
        needs: besides it.
        without: what does no harm to this file.
    """
    for damage in DAMAGES:
        if damage not in without:
            title = f"{name}: {damage.__name__}"
            yield Case(
                name=title,
                words=tuple(words.split()),
                needs=(*needs, path.partition("/")[0]),
                change=_changed(path, damage, title),
                said=Path(path).name.partition(".")[0],
            )


def _changed(path: str, damage: Damage, title: str) -> Callable[[Tree], Tree]:
    def change(whole: Tree) -> Tree:
        data = whole[path]
        assert isinstance(data, bytes)
        return {path: damage(data, rng_of(title))}

    return change
