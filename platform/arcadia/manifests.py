"""The list of a folder's files, with a checksum of each: written last, and believed or not.

A folder whose files are those of its list is as it was when it was written. That tells accidents:
a copy that broke off, a file that was swapped or added. It tells no intent, for whoever can write
the files can write the list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from arcadia.atomic import beside, explained
from arcadia.errors import UserError

MANIFEST = "MANIFEST.json"

_CHUNK_BYTES = 8 << 20


class Writable(Protocol):
    def write(self, data: bytes, /) -> Any: ...


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def checked(name: str) -> str:
    """The normal form of a name inside a folder. ValueError when it leads outside."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r}: want a relative name inside the storage")
    return str(path)


def contents(root: Path) -> tuple[list[str], list[str]]:
    """The relative POSIX names of all files and folders below `root`, but for a manifest's."""
    files: list[str] = []
    folders: list[str] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            folders.append(name)
        elif name != MANIFEST:
            files.append(name)
    return files, folders


def copied(source: Readable, target: Writable) -> dict[str, Any]:
    """Copies a stream in pieces; answers its entry for a manifest."""
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        size_bytes += len(chunk)
    return {"size_bytes": size_bytes, "sha256": digest.hexdigest()}


def manifest_bytes(entries: Mapping[str, Any], folders: Sequence[str]) -> bytes:
    """The file that lists `entries`, by name, and folders."""
    manifest = {"files": entries, "folders": list(folders)}
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def parsed_manifest(data: bytes) -> dict[str, Any] | None:
    """What `manifest_bytes` made; None for anything else, such as names that lead outside."""
    try:
        manifest = json.loads(data)
        for name, entry in manifest["files"].items():
            if checked(name) != name or not isinstance(entry["size_bytes"], int):
                return None
            if len(bytes.fromhex(entry["sha256"])) != hashlib.sha256().digest_size:
                return None
        for name in manifest["folders"]:
            if checked(name) != name:
                return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return manifest


def write_manifest(folder: Path, *, without: Collection[str] = ()) -> None:
    """Lists a folder's files in its `MANIFEST.json`, in the place of an earlier one.

    Args:
        folder: is read to its end.
        without: names of folders directly below it that are left out.
    """
    files, folders = contents(folder)
    entries: dict[str, Any] = {}
    with explained("read", folder):
        for name in files:
            if _top(name) not in without:
                entries[name] = _entry(folder / name)
    with beside(folder / MANIFEST) as temporary:
        kept = [name for name in folders if _top(name) not in without]
        temporary.write_bytes(manifest_bytes(entries, kept))


def check_manifest(
    folder: Path, shown: str, *, below: str = "", without: Collection[str] = ()
) -> dict[str, Any]:
    """Reads every file of a folder, and refuses it where they are not those of its manifest.

    Args:
        folder: that holds the manifest.
        shown: what errors call it.
        below: only files in this folder below it are looked at; empty: all.
        without: names of folders directly below it that are not looked at.

    Returns:
        The manifest.

    Raises:
        UserError: there is no manifest, a file is missing, was changed or added, or is a link.
    """
    path = folder / MANIFEST
    manifest = None
    if path.is_file():
        with explained("read", path):
            manifest = parsed_manifest(path.read_bytes())
    if manifest is None:
        raise UserError(
            f"{shown}: holds no list of its files ({MANIFEST}), so nothing says who wrote it; use "
            "another checkpoint"
        )
    with explained("read", shown):
        files, folders = (
            {name for name in names if _is_looked_at(name, below, without)}
            for names in contents(folder)
        )
        listed = {name for name in manifest["files"] if _is_looked_at(name, below, without)}
        for name in sorted(files | folders | listed):
            if name not in files | folders:
                said = "is missing"
            elif (folder / name).is_symlink():  # what is behind it, nobody lists
                said = "is a link"
            elif name in folders:
                continue
            elif name not in listed:
                said = f"is not in {MANIFEST}, so that Arcadia did not write it"
            elif _entry(folder / name) != manifest["files"][name]:
                said = f"is not what {MANIFEST} says: damaged, or changed since it was written"
            else:
                continue
            raise UserError(f"{shown}: {name} {said}; use another checkpoint")
    return manifest


def _entry(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size_bytes": file.tell(), "sha256": digest}


def _is_looked_at(name: str, below: str, without: Collection[str]) -> bool:
    return _top(name) not in without and (not below or name.startswith(f"{below}/"))


def _top(name: str) -> str:
    return name.partition("/")[0]
