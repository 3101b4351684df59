"""The two kinds of storage: a folder that can rename, and an object store that cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from arcadia.atomic import (
    beside,
    explained,
    flush,
    is_temporary,
    refuse_special,
    temporary_folder,
    temporary_name,
)
from arcadia.errors import UserError
from arcadia.manifests import MANIFEST, Readable, checked, contents, copied, manifest_bytes
from arcadia.storage import Stamp, Storage, file_in, without_secrets

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileSystem, FileType


class LocalStorage(Storage):
    """A folder of a file system that renames atomically."""

    def __init__(self, root: Path):
        with contextlib.suppress(RuntimeError):  # "~name" of nobody: a folder may be called so
            root = root.expanduser()
        self._root = root.absolute()
        self.uri = str(self._root)

    @property
    def is_local(self) -> bool:
        return True

    @property
    def local_path(self) -> Path:
        return self._root

    def below(self, name: str) -> Storage:
        return LocalStorage(self._path(name))

    def shown(self, name: str = "") -> str:
        return str(self._root / name)

    def check_writable(self) -> None:
        with explained("write", self._root):
            there = next(p for p in (self._root, *self._root.parents) if p.exists())
            if not there.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if os.statvfs(there).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def write_bytes(self, name: str, data: bytes) -> None:
        with beside(self._path(name)) as temporary:
            temporary.write_bytes(data)

    def read_bytes(self, name: str) -> bytes:
        refuse_special(self._path(name))
        with explained("read", self._path(name)):
            return self._path(name).read_bytes()

    def open_file(self, name: str) -> NativeFile:
        from pyarrow import OSFile

        with explained("read", self._path(name)):
            return OSFile(str(self._path(name)))

    def writing(self, name: str) -> contextlib.AbstractContextManager[Path]:
        return beside(self._path(name))

    def exists(self, name: str = "") -> bool:
        path = self._path(name) if name else self._root
        with explained("look at", path):
            return path.exists()

    def is_file(self, name: str) -> bool:
        with explained("look at", self._path(name)):
            return self._path(name).is_file()

    def upload(self, local_file: Path, name: str) -> None:
        with beside(self._path(name)) as temporary:
            shutil.copyfile(local_file, temporary)

    def download(self, name: str, local_file: Path) -> str:
        with explained("read", self._path(name)), open(self._path(name), "rb") as source:
            return _receive(source, local_file)

    def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for folder, folders, files in os.walk(self._root / prefix):
            folders[:] = [name for name in folders if not is_temporary(name)]
            for file in files:
                path = Path(folder, file)
                if is_temporary(file):
                    continue
                try:
                    found[path.relative_to(self._root).as_posix()] = _stamp(path.stat())
                except FileNotFoundError:  # removed since its folder was read
                    continue
        return found

    def stamp(self, name: str) -> Stamp | None:
        with explained("look at", self._path(name)):
            return _stamp(self._path(name).stat()) if self._path(name).is_file() else None

    def delete_unfinished(self, prefix: str) -> None:
        for path in self._path(prefix).glob(".*"):
            if is_temporary(path.name):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._root / checked(name)

    def _write_tree(self, local_dir: Path, folder: str) -> None:
        final = self._path(folder)
        temporary = temporary_name(final)
        files, folders = contents(local_dir)
        entries: dict[str, Any] = {}
        with explained("write", final):
            try:
                for inner in ["", *folders]:
                    (temporary / inner).mkdir(parents=True)
                for file in files:
                    with open(local_dir / file, "rb") as source:
                        with open(temporary / file, "xb") as target:
                            entries[file] = copied(source, target)
                (temporary / MANIFEST).write_bytes(manifest_bytes(entries, folders))
                for name in [MANIFEST, *files, *folders, ""]:
                    flush(temporary / name)
                os.rename(temporary, final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            flush(final.parent)

    def _read_tree(self, folder: str, manifest: Mapping[str, Any]) -> Path:
        return self._path(folder)

    def _copy_tree(self, folder: str, manifest: Mapping[str, Any], local_dir: Path) -> None:
        with explained("copy", self._path(folder)):
            shutil.copytree(self._path(folder), local_dir)

    def _delete_folder(self, folder: str) -> None:
        path = self._path(folder)
        with explained("delete", path):
            hidden = temporary_name(path)
            os.rename(path, hidden)
            shutil.rmtree(hidden)


class ObjectStorage(Storage):
    """A prefix of an object store, through a pyarrow file system.

    A stream is never left by `with`: closing one after an exception would publish what it has.
    """

    def __init__(self, filesystem: FileSystem, root: str, uri: str):
        self._filesystem = filesystem
        self._root = root.strip("/")
        self._fetched: dict[str, Path] = {}
        self.uri = uri

    @property
    def is_local(self) -> bool:
        return False

    @property
    def local_path(self) -> Path:
        raise ValueError(f"{self.shown()}: is not on this machine")

    def below(self, name: str) -> Storage:
        return ObjectStorage(self._filesystem, self._key(name), file_in(self.uri, checked(name)))

    def check_writable(self) -> None:
        """A store says so only when it is asked to."""

    def shown(self, name: str = "") -> str:
        address = without_secrets(self.uri)
        return f"{address}/{name}" if name else address

    def write_bytes(self, name: str, data: bytes) -> None:
        with explained("write", self.shown(name)):
            stream = self._filesystem.open_output_stream(self._key(name))
            stream.write(data)
            stream.close()

    def read_bytes(self, name: str) -> bytes:
        with explained("read", self.shown(name)):
            with self._filesystem.open_input_stream(self._key(name)) as stream:
                return stream.read()

    def open_file(self, name: str) -> NativeFile:
        with explained("read", self.shown(name)):
            return self._filesystem.open_input_file(self._key(name))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            path = Path(folder, PurePosixPath(name).name)
            yield path
            self.upload(path, name)

    def exists(self, name: str = "") -> bool:
        from pyarrow.fs import FileType

        return self._type(name) != FileType.NotFound

    def is_file(self, name: str) -> bool:
        from pyarrow.fs import FileType

        return self._type(name) == FileType.File

    def upload(self, local_file: Path, name: str) -> None:
        with explained("write", self.shown(name)), open(local_file, "rb") as source:
            self._send(source, name)

    def download(self, name: str, local_file: Path) -> str:
        with explained("read", self.shown(name)):
            with self._filesystem.open_input_stream(self._key(name)) as stream:
                return _receive(stream, local_file)

    def stamps(self, prefix: str = "") -> dict[str, Stamp]:
        from pyarrow.fs import FileSelector, FileType

        key = self._key(prefix) if prefix else self._root
        with explained("list", self.shown(prefix)):
            selector = FileSelector(key, recursive=True, allow_not_found=True)
            infos = self._filesystem.get_file_info(selector)
        start = f"{self._root}/" if self._root else ""
        return {
            info.path.strip("/").removeprefix(start): Stamp(info.size, info.mtime_ns or 0)
            for info in infos
            if info.type == FileType.File
        }

    def stamp(self, name: str) -> Stamp | None:
        from pyarrow.fs import FileType

        with explained("look at", self.shown(name)):
            info = self._filesystem.get_file_info(self._key(name))
        return Stamp(info.size, info.mtime_ns or 0) if info.type == FileType.File else None

    def delete_unfinished(self, prefix: str) -> None:
        sizes = self.sizes(prefix)
        start = f"{checked(prefix)}/"
        for folder in {path.removeprefix(start).split("/")[0] for path in sizes}:
            inside = {p: size for p, size in sizes.items() if p.startswith(f"{start}{folder}/")}
            if inside and self._manifest(start + folder, inside) is None:
                self._delete_folder(start + folder)

    def _key(self, name: str) -> str:
        return f"{self._root}/{checked(name)}".lstrip("/")

    def _type(self, name: str) -> FileType:
        with explained("look at", self.shown(name)):
            key = self._key(name) if name else self._root
            return self._filesystem.get_file_info(key).type

    def _send(self, source: IO[bytes], name: str) -> dict[str, Any]:
        stream = self._filesystem.open_output_stream(self._key(name))
        entry = copied(source, stream)
        stream.close()
        return entry

    def _write_tree(self, local_dir: Path, folder: str) -> None:
        files, folders = contents(local_dir)
        entries: dict[str, Any] = {}
        with explained("write", self.shown(folder)):
            for file in files:
                with open(local_dir / file, "rb") as source:
                    entries[file] = self._send(source, f"{folder}/{file}")
        self.write_bytes(f"{folder}/{MANIFEST}", manifest_bytes(entries, folders))

    def _read_tree(self, folder: str, manifest: Mapping[str, Any]) -> Path:
        # The manifest is part of the key: the same name may be published again.
        listed = manifest_bytes(manifest["files"], manifest["folders"])
        key = f"{folder} {listed!r}"
        if key not in self._fetched:
            target = temporary_folder() / PurePosixPath(folder).name
            self._copy_tree(folder, manifest, target)
            self._fetched[key] = target
        return self._fetched[key]

    def _copy_tree(self, folder: str, manifest: Mapping[str, Any], local_dir: Path) -> None:
        for inner in ["", *manifest["folders"]]:
            (local_dir / inner).mkdir(parents=True, exist_ok=True)
        for file, entry in manifest["files"].items():
            if self.download(f"{folder}/{file}", local_dir / checked(file)) != entry["sha256"]:
                raise UserError(
                    f"{self.shown(f'{folder}/{file}')}: damaged, its checksum differs from "
                    "the manifest; delete that folder to go back to an earlier one"
                )
        listed = manifest_bytes(manifest["files"], manifest["folders"])
        (local_dir / MANIFEST).write_bytes(listed)  # a folder on a disk has it, too

    def _delete_folder(self, folder: str) -> None:
        with explained("delete", self.shown(folder)):
            # The manifest first: what is left when this is interrupted, nobody believes.
            if self.exists(f"{folder}/{MANIFEST}"):
                self._filesystem.delete_file(self._key(f"{folder}/{MANIFEST}"))
            self._filesystem.delete_dir(self._key(folder))


def _stamp(stat: os.stat_result) -> Stamp:
    return Stamp(stat.st_size, stat.st_mtime_ns)


def _receive(source: Readable, local_file: Path) -> str:
    with beside(local_file) as temporary, open(temporary, "xb") as target:
        return copied(source, target)["sha256"]
