"""Local paths of a storage's files, for writers that append, which an object store cannot."""

from __future__ import annotations

from pathlib import Path

from arcadia.atomic import explained, is_temporary, temporary_folder
from arcadia.storage import Storage


class Scratch:
    """Copies of an object store's files on this machine; of a folder on a disk its own files.

    Args:
        storage: whose.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._folder: Path | None = None
        self._synced: dict[Path, tuple[int, int]] = {}

    def path(self, name: str) -> Path:
        """A local path to append to.

        Its parent is there; what the storage already holds under `name` is too. In an object store
        it is a copy on this machine, which gets there with `sync`.
        """
        if self._storage.is_local:
            path = self._storage.local_path / name
        else:
            if self._folder is None:
                self._folder = temporary_folder()
            path = self._folder / name
            if not path.exists():
                self._download(name, self._folder)
        with explained("write", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def sync(self) -> None:
        """Brings what changed in these paths to the storage; nothing to do when local."""
        if self._folder is None:
            return
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and not is_temporary(path.name):
                stamp = _stamp(path)
                if self._synced.get(path) != stamp:
                    self._storage.upload(path, path.relative_to(self._folder).as_posix())
                    self._synced[path] = stamp

    def fetch(self, name: str) -> Path:
        """A file or folder as a local path to read; it may turn out not to exist."""
        if self._storage.is_local:
            return self._storage.local_path / name
        self.sync()
        folder = temporary_folder()
        self._download(name, folder)
        return folder / name

    def _download(self, name: str, folder: Path) -> None:
        storage = self._storage
        for file in [name] if storage.is_file(name) else storage.list(name):
            storage.download(file, folder / file)
            self._synced[folder / file] = _stamp(folder / file)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
