"""What is to be coloured, found from the words of a command, and where each result goes."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from arcadia.errors import UserError, did_you_mean
from arcadia.media.images import picture_format
from arcadia.media.sequences import SUFFIXES as PICTURE_SUFFIXES
from arcadia.media.sequences import natural_order
from arcadia.media.video import SUFFIXES as VIDEO_SUFFIXES
from arcadia.media.writer import check_audio, container_format
from arcadia.storage import Stamp, Storage, file_in, folder_and_name, without_secrets

JPEG_SUFFIXES = (".jpg", ".jpeg")
_PART_PICTURES = 64
_FEW_PARTS, _MOST_PARTS = 32, 4096


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture or a film."""

    number: int
    """From 0, in the order of the words."""
    source: str
    """Absolute path, or address."""
    output: str
    """Name of the result below the folder of results."""
    is_film: bool

    @property
    def shown(self) -> str:
        """The source as a person should read it."""
        return without_secrets(self.source) if "://" in self.source else self.source


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one worker colours in one go: a film, or some pictures."""

    number: int
    items: tuple[Item, ...]

    def to_row(self) -> dict[str, Any]:
        """Plain values for Ray Data, as `from_row` takes them."""
        items = [dataclasses.asdict(item) for item in self.items]
        return {"number": self.number, "items": json.dumps(items)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        items = tuple(Item(**values) for values in json.loads(row["items"]))
        return cls(number=int(row["number"]), items=items)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is to be coloured."""

    folder: str
    """Path or address of the folder of results."""
    items: tuple[Item, ...]
    stamps: Mapping[str, Stamp]
    """Of the sources, by their path or address."""


class Found(NamedTuple):
    """A picture or film that words name."""

    source: str
    """Absolute path, or address."""
    below: str
    """Folder of the source below the one that was named; empty where the file itself was."""
    stamp: Stamp

    @property
    def is_film(self) -> bool:
        return _is_film(self.source)


def find(inputs: Sequence[str], output: str | None) -> Plan:
    """What a command line names.

    Args:
        inputs: files, folders, whose trees are kept, patterns such as `photos/*.jpg`; or s3:// and
            gs:// addresses of these.
        output: a file, for a single input, or a folder; None: the current folder.

    Raises:
        UserError: nothing of a name is there, or no picture and no film; several inputs for one
            file; results among what was searched for inputs.
    """
    found: dict[str, Found] = {}
    for word in inputs:
        for one in expanded(word):
            found.setdefault(one.source, one)
    sources = list(found.values())
    stamps = {one.source: one.stamp for one in sources}
    if output is not None and _names_one(output):
        if len(sources) > 1:
            raise UserError(
                f"output {output}: of {len(sources):,} inputs it must be a folder; give its name"
            )
        source, is_film = sources[0].source, sources[0].is_film
        (container_format if is_film else picture_format)(_plain(output))
        folder, name = folder_and_name(output)
        item = Item(number=0, source=source, output=name, is_film=is_film)
        return Plan(folder=folder, items=(item,), stamps=stamps)
    folder = Storage.at("." if output is None else output).uri
    used: set[str] = set()
    items = []
    for number, one in enumerate(sources):
        name = PurePosixPath(_plain(one.source))
        ending = "-color" + _suffix_of_result(one.source)
        wanted = str(PurePosixPath(one.below) / name.stem)
        made = _unused(wanted, ending, used)
        items.append(Item(number=number, source=one.source, output=made, is_film=one.is_film))
    for word in inputs:
        _check_apart(word, folder, items)
    return Plan(folder=folder, items=tuple(items), stamps=stamps)


def parts_of(items: Sequence[Item]) -> list[Part]:
    """The parts in the order in which they are handed out: films first, for they take longest.

    A few pictures are one each, so that all workers have some; of many, several are a part, so that
    handing out costs nothing.
    """
    films = [item for item in items if item.is_film]
    pictures = [item for item in items if not item.is_film]
    count = len(pictures)
    size = max(min(-(-count // _FEW_PARTS), _PART_PICTURES), -(-count // _MOST_PARTS), 1)
    groups = [[film] for film in films]
    groups += [pictures[start : start + size] for start in range(0, count, size)]
    return [Part(number=number, items=tuple(group)) for number, group in enumerate(groups)]


def expanded(word: str) -> list[Found]:
    """The pictures and films that one word names, each with the folder that is kept of it."""
    if "://" in word:
        return _expanded_address(word)
    path = Path(word).expanduser()
    if path.is_file():
        _check_kind(word)
        source = os.path.abspath(path)
        return [Found(source, "", _stamp_of(source))]
    if path.is_dir():
        return _in_folder(word, Storage.at(path))
    if glob.has_magic(word):
        files = [os.path.abspath(file) for file in glob.glob(str(path), recursive=True)]
        files = [file for file in files if _is_either(file) and os.path.isfile(file)]
        if not files:
            raise UserError(f"{word}: no picture and no film has such a name; {_kinds()}")
        return [Found(file, "", _stamp_of(file)) for file in _sorted(files)]
    siblings = [s.name for s in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UserError(f"{word}: no such file or folder{did_you_mean(path.name, siblings)}")


def _expanded_address(word: str) -> list[Found]:
    folder, name = folder_and_name(word)
    # The query of an address begins with "?", which therefore is no wildcard.
    head, _, query = word.partition("?")
    places = head.split("/")
    magic = next((at for at, place in enumerate(places) if "*" in place or "[" in place), None)
    tail = f"?{query}" if query else ""
    if magic is not None:
        root = "/".join(places[:magic]) + tail
        storage = Storage.at(root)
        stamps, pattern = storage.stamps(), places[magic:]
        names = [n for n in stamps if _matches(n.split("/"), pattern) and _is_either(n)]
        if not names:
            raise UserError(
                f"{without_secrets(word)}: no picture and no film has such a name; {_kinds()}"
            )
        return [Found(file_in(root, n), "", stamps[n]) for n in _sorted(names)]
    parent = Storage.at(folder)
    if name and (stamp := parent.stamp(name)) is not None:
        _check_kind(name)
        return [Found(word, "", stamp)]
    storage = Storage.at(word)
    if not storage.stamps():
        raise UserError(f"{storage.shown()}: nothing is there; check the address")
    return _in_folder(word, storage)


def _in_folder(word: str, storage: Storage) -> list[Found]:
    stamps = storage.stamps()
    names = [
        name
        for name in stamps
        if _is_either(name) and not any(place.startswith(".") for place in name.split("/"))
    ]
    if not names:
        raise UserError(f"{without_secrets(word)}: holds no picture and no film; {_kinds()}")
    root = str(storage.local_path) if storage.is_local and "://" not in word else word
    return [
        Found(file_in(root, name), name.rpartition("/")[0], stamps[name]) for name in _sorted(names)
    ]


def _matches(places: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the places of a path fit those of a pattern, in which ** stands for any number."""
    if not pattern:
        return not places
    if pattern[0] == "**":
        return any(_matches(places[at:], pattern[1:]) for at in range(len(places) + 1))
    fits = bool(places) and fnmatch.fnmatchcase(places[0], pattern[0])
    return fits and _matches(places[1:], pattern[1:])


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=natural_order)


def _stamp_of(path: str) -> Stamp:
    folder, name = folder_and_name(path)
    stamp = Storage.at(folder).stamp(name)
    assert stamp is not None
    return stamp


def _plain(source: str) -> str:
    """A path, or an address without its query."""
    return source.partition("?")[0] if "://" in source else source


def _suffix(source: str) -> str:
    return PurePosixPath(_plain(source)).suffix.lower()


def _is_film(source: str) -> bool:
    return _suffix(source) in VIDEO_SUFFIXES


def _is_either(source: str) -> bool:
    return _suffix(source) in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _check_kind(word: str) -> None:
    if not _is_either(word):
        raise UserError(f"{without_secrets(word)}: neither a picture nor a film; {_kinds()}")


def _kinds() -> str:
    return f"those are {', '.join(sorted(PICTURE_SUFFIXES) + sorted(VIDEO_SUFFIXES))}"


def _suffix_of_result(source: str) -> str:
    """JPEG stays JPEG, what loses nothing becomes PNG; films MP4, or Matroska where MP4 cannot hold
    their sound."""
    if not _is_film(source):
        return ".jpg" if _suffix(source) in JPEG_SUFFIXES else ".png"
    if "://" in source:
        return ".mp4"
    for suffix in (".mp4", ".mkv"):
        try:
            check_audio(f"film{suffix}", source)
        except UserError:  # cannot hold it; or no film, which is told when it is read
            continue
        return suffix
    return ".mp4"


def _names_one(output: str) -> bool:
    """Whether the words name a file; else they name a folder, which may not be there yet."""
    if "://" in output:
        return _is_either(output)
    return not output.endswith("/") and bool(Path(output).suffix) and not Path(output).is_dir()


def _unused(stem: str, ending: str, used: set[str]) -> str:
    """A name that no other result has, whatever its case: some file systems do not tell."""
    chosen, number = stem + ending, 2
    head, _, suffix = ending.rpartition(".")
    while chosen.casefold() in used:
        chosen, number = f"{stem}{head}-{number}.{suffix}", number + 1
    used.add(chosen.casefold())
    return chosen


def _check_apart(word: str, folder: str, items: Sequence[Item]) -> None:
    """Refuses results where a word looks for inputs: it would find them next time."""
    if ("://" in word) != ("://" in folder):
        return
    if "://" in word:
        searched = PurePosixPath(_plain(word).rstrip("/"))
        results = [PurePosixPath(_plain(folder).rstrip("/")) / item.output for item in items]
    else:
        searched = Path(os.path.abspath(os.path.expanduser(word)))
        if searched.is_dir():
            searched = searched.resolve()
        results = [Path(folder).resolve() / item.output for item in items]
    is_pattern = glob.has_magic(str(searched)) and not Path(searched).exists()
    if is_pattern:
        among = any(_matches(result.parts, searched.parts) for result in results)
    else:
        is_file = any(_plain(item.source) == str(searched) for item in items)
        among = not is_file and any(result.is_relative_to(searched) for result in results)
    if among:
        raise UserError(
            f"output: results would lie in {without_secrets(folder)}, among the inputs of {word}; "
            "give another folder as --output"
        )
