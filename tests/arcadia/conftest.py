"""An object store in memory, and a machine that stops in the middle of things."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from arcadia.storage import Storage


class ObjectStore(MemoryFileSystem):
    """Objects in memory, without a rename, whose uploads can be made to break off.

    fsspec shows an object from the moment it is opened for writing: a reader meets halves here
    that a real store would not even show.
    """

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.uploads_left: int | None = None

    def mv(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("an object store cannot rename")

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        file = super()._open(path, mode, *args, **kwargs)
        if mode == "wb" and self.uploads_left is not None:
            self.uploads_left -= 1
            if self.uploads_left < 0:
                file.write(b"hal")
                raise OSError("the connection was reset")
        return file


@pytest.fixture
def objects() -> ObjectStore:
    return ObjectStore()


@pytest.fixture
def bucket(objects: ObjectStore) -> Storage:
    """The storage of a run in that object store."""
    return Storage.at("bucket/runs/one", PyFileSystem(FSSpecHandler(objects)))


@pytest.fixture(params=["disk", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, objects: ObjectStore) -> Storage:
    """A place for a run, once on a disk and once in an object store."""
    if request.param == "disk":
        return Storage.at(tmp_path / "one")
    return Storage.at("bucket/runs/one", PyFileSystem(FSSpecHandler(objects)))


@pytest.fixture
def killed_in() -> Callable[[str], None]:
    """Runs Python code in a child that must end by killing itself."""

    def run(code: str) -> None:
        path = os.pathsep.join(sys.path)
        child = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            timeout=60,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    return run
