"""Files and folders that are either whole or not there, on a disk or in an object store.

On a disk a file is written beside its place, flushed and renamed; a folder likewise. An object
store has no rename: a small file is one PUT of bytes that are complete beforehand, and a folder
goes under a prefix that nobody read before, its manifest last. A reader believes a folder only
when its manifest is there and the files match it, so whoever dies half way leaves no lie.
"""

from __future__ import annotations

import contextlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from arcadia.atomic import explained
from arcadia.errors import UserError
from arcadia.manifests import MANIFEST, checked, parsed_manifest

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileSystem

_GOOGLES = ("gs", "gcs")
_ANSWER_S = 60  # how long a store may fail to answer

# A tree published again under its name gets a new folder: "000001000", then "000001000~2".
_GENERATION = re.compile(r"(?P<name>.+?)(?:~(?P<generation>\d+))?")


class Stamp(NamedTuple):
    """Tells whether a file was changed."""

    size_bytes: int
    changed_ns: int
    """Time of the latest change; 0 where the storage does not say."""


class Storage(ABC):
    """A folder on a disk or a prefix of an object store, addressed by relative POSIX names.

    Every method raises UserError when the storage refuses (full, forbidden, unreachable), and
    ValueError for a name that leads outside.
    """

    uri: str
    """The path or address that `at` takes to get here again."""

    @staticmethod
    def at(target: str | os.PathLike[str], filesystem: FileSystem | None = None) -> Storage:
        """The storage at a local path, a `file://`, `s3://` or `gs://` address.

        Args:
            target: a path or an address; with `filesystem`, a path inside that.
            filesystem: any pyarrow file system; it is taken for one that cannot rename.

        Raises:
            UserError: the address has an unknown scheme or cannot be reached.
        """
        from arcadia.stores import LocalStorage, ObjectStorage

        text = os.fspath(target)
        if filesystem is not None:
            scheme = filesystem.type_name.removeprefix("py::fsspec+")
            return ObjectStorage(filesystem, text, f"{scheme}://{text.strip('/')}")
        if "://" not in text:
            return LocalStorage(Path(text))
        from pyarrow.fs import FileSystem, LocalFileSystem

        shown, parts = without_secrets(text), urlsplit(text)
        if parts.scheme in (*_GOOGLES, "s3") and not parts.netloc:
            raise UserError(f"{text}: names no bucket; give {parts.scheme}://bucket/path")
        within = text
        if parts.scheme in _GOOGLES and "retry_limit_seconds" not in parts.query:
            # Google's own is a quarter of an hour, also where nobody answers.
            within += f"{'&' if parts.query else '?'}retry_limit_seconds={_ANSWER_S}"
        try:
            with explained("reach", shown):
                filesystem, root = FileSystem.from_uri(within)
        except ValueError as error:  # pyarrow's ArrowInvalid
            raise UserError(
                f"{shown}: no such storage; give a local folder, s3://bucket/path or "
                "gs://bucket/path"
            ) from error
        if isinstance(filesystem, LocalFileSystem):
            return LocalStorage(Path(root))
        return ObjectStorage(filesystem, root, text)

    @property
    @abstractmethod
    def is_local(self) -> bool:
        """Whether this is a folder that this machine reads and writes directly."""

    @property
    @abstractmethod
    def local_path(self) -> Path:
        """That folder, absolute. ValueError when there is none."""

    @abstractmethod
    def below(self, name: str) -> Storage:
        """The folder `name` as a storage of its own."""

    @abstractmethod
    def shown(self, name: str = "") -> str:
        """The place of `name` as a person should read it, without credentials."""

    @abstractmethod
    def check_writable(self) -> None:
        """Finds out as far as it can be known beforehand what would make writing fail.

        Raises:
            UserError: it would.
        """

    @abstractmethod
    def write_bytes(self, name: str, data: bytes) -> None:
        """Puts a whole file at `name`, replacing what is there."""

    @abstractmethod
    def read_bytes(self, name: str) -> bytes:
        """The file at `name`. UserError when there is none."""

    @abstractmethod
    def open_file(self, name: str) -> NativeFile:
        """The file at `name`, of any size, to be read in any order; close it afterwards."""

    @abstractmethod
    def writing(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A local path to write a file of any size at, which is at `name` when the block
        succeeds, and nowhere when it fails."""

    @abstractmethod
    def exists(self, name: str = "") -> bool:
        """Whether there is a file or a folder at `name`; without one, whether there is this."""

    @abstractmethod
    def is_file(self, name: str) -> bool:
        """Whether there is a file at `name`."""

    @abstractmethod
    def upload(self, local_file: Path, name: str) -> None:
        """Puts a copy of a local file of any size at `name`."""

    @abstractmethod
    def download(self, name: str, local_file: Path) -> str:
        """Writes a copy of the file `name` to a local path; answers its sha256."""

    @abstractmethod
    def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        """Every file below the folder `prefix`, by full name, with its stamp."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp | None:
        """Of the file at `name`; None where there is none."""

    @abstractmethod
    def delete_unfinished(self, prefix: str) -> None:
        """Removes what interrupted calls of `publish_tree` and `writing` left directly below
        `prefix`.

        For the one process that writes there: it would take away another's work in progress.
        """

    @abstractmethod
    def _write_tree(self, local_dir: Path, folder: str) -> None:
        """Writes a tree and its manifest at a name that holds nothing."""

    @abstractmethod
    def _read_tree(self, folder: str, manifest: Mapping[str, Any]) -> Path:
        """A complete tree as a local folder."""

    @abstractmethod
    def _copy_tree(self, folder: str, manifest: Mapping[str, Any], local_dir: Path) -> None:
        """Copies a complete tree to a local folder that does not exist."""

    @abstractmethod
    def _delete_folder(self, folder: str) -> None:
        """Removes a folder, at no time leaving a part of it that looks complete."""

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Every file below the folder `prefix`, by full name, with its size in bytes."""
        return {name: stamp.size_bytes for name, stamp in self.stamps(prefix).items()}

    def list(self, prefix: str = "") -> list[str]:
        """The full names of all files below the folder `prefix`, sorted."""
        return sorted(self.sizes(prefix))

    def publish_tree(self, local_dir: str | os.PathLike[str], name: str) -> None:
        """Copies a local folder here, visible as a whole or not at all.

        A tree that already has this name stays good until the new one is complete.

        Args:
            local_dir: the folder to copy; a `MANIFEST.json` at its top is replaced by ours.
            name: the tree's name, such as "checkpoints/000001000".
        """
        source = Path(local_dir)
        if not source.is_dir():
            raise ValueError(f"{source}: no such folder to publish")
        name = checked(name)
        earlier = self._generations(name)
        self._write_tree(source, f"{name}~{max(earlier) + 1}" if earlier else name)
        for folder in earlier.values():
            self._delete_folder(folder)

    def fetch_tree(self, name: str) -> Path:
        """The complete tree `name` as a local folder, to be read only.

        Returns:
            The folder itself when local; otherwise a checked download, removed when the process
            ends.

        Raises:
            UserError: no complete tree has this name, or a download does not match its checksum.
        """
        return self._read_tree(*self._complete(name))

    def copy_tree(self, name: str, local_dir: Path) -> None:
        """Copies the complete tree `name` to a local folder, which must not exist.

        Raises:
            UserError: as of `fetch_tree`.
        """
        self._copy_tree(*self._complete(name), local_dir)

    def trees(self, prefix: str) -> list[str]:
        """The full names of the complete trees directly below `prefix`, sorted."""
        start = f"{checked(prefix)}/"
        folders: dict[str, dict[str, int]] = {}
        for path, size in self.sizes(prefix).items():
            folder, _, rest = path.removeprefix(start).partition("/")
            if rest:
                folders.setdefault(start + folder, {})[path] = size
        complete = (folder for folder, sizes in folders.items() if self._manifest(folder, sizes))
        return sorted({_split_generation(folder)[0] for folder in complete})

    def damage(self, prefix: str) -> str | None:
        """What is wrong with a tree directly below `prefix` that was written to its end and is not
        complete any more, if there is one: for people."""
        start = f"{checked(prefix)}/"
        sizes = self.sizes(prefix)
        for folder in sorted({path.removeprefix(start).split("/")[0] for path in sizes}):
            listed = f"{start}{folder}/{MANIFEST}"
            manifest = parsed_manifest(self.read_bytes(listed)) if listed in sizes else None
            if manifest is None and listed in sizes:
                return f"{listed} is damaged"
            for file, entry in manifest["files"].items() if manifest else ():
                there, wanted = sizes.get(f"{start}{folder}/{file}"), entry["size_bytes"]
                if there != wanted:
                    what = "is missing" if there is None else f"has {there:,} bytes"
                    return f"{start}{folder}/{file} {what} where {wanted:,} were written"
        return None

    def delete_tree(self, name: str) -> None:
        """Removes the tree `name`, if there is one."""
        for folder in self._generations(checked(name)).values():
            self._delete_folder(folder)

    def _complete(self, name: str) -> tuple[str, dict[str, Any]]:
        """The folder of the complete tree `name`, and its manifest."""
        name = checked(name)
        for _, folder in sorted(self._generations(name).items(), reverse=True):
            manifest = self._manifest(folder, self.sizes(folder))
            if manifest is not None:
                return folder, manifest
        raise UserError(f"{self.shown(name)}: nothing complete is stored there")

    def _generations(self, name: str) -> dict[int, str]:
        """The folders that hold `name`, complete or not, by generation (1 is the plain name)."""
        parent, _, last = name.rpartition("/")
        start = f"{parent}/" if parent else ""
        folders = {path.removeprefix(start).split("/")[0] for path in self.sizes(parent)}
        return {
            generation: start + folder
            for folder in folders
            for base, generation in [_split_generation(folder)]
            if base == last
        }

    def _manifest(self, folder: str, sizes: Mapping[str, int]) -> dict[str, Any] | None:
        """The folder's manifest when it is there and all its files are, at their sizes."""
        if f"{folder}/{MANIFEST}" not in sizes:
            return None
        try:
            data = self.read_bytes(f"{folder}/{MANIFEST}")
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # deleted since it was listed
                return None
            raise
        manifest = parsed_manifest(data)
        if manifest is None:  # not one of ours
            return None
        entries = manifest["files"].items()
        whole = all(sizes.get(f"{folder}/{file}") == e["size_bytes"] for file, e in entries)
        return manifest if whole else None


def _split_generation(folder: str) -> tuple[str, int]:
    match = _GENERATION.fullmatch(folder)
    assert match is not None
    return match["name"], int(match["generation"] or 1)


def folder_and_name(target: str) -> tuple[str, str]:
    """A file's path or address as those of its folder, which `Storage.at` takes, and its name."""
    if "://" not in target:
        folder, _, name = os.path.abspath(target).rpartition("/")
        return folder or "/", name
    parts = urlsplit(target)
    folder, _, name = parts.path.rpartition("/")
    return urlunsplit(parts._replace(path=folder)), name


def file_in(folder: str, name: str) -> str:
    """The path or address of a file by those of its folder; undoes `folder_and_name`."""
    head, mark, query = folder.partition("?") if "://" in folder else (folder, "", "")
    return f"{head.rstrip('/')}/{name}{mark}{query}"


def without_secrets(uri: str) -> str:
    """An address without user, password and query."""
    scheme, mark, rest = uri.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    if "@" in host:
        host = host.rpartition("@")[2]
    elif re.search(r":(?!\d*$)", host) and "@" in path:
        # Where a port would be there is a password, and in that a "/", as in many a key of S3's.
        host, slash, path = path.rpartition("@")[2].partition("/")
    return f"{scheme}{mark}{host}{slash}{path}".rstrip("/")
