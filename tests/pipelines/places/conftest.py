"""Folders of pictures."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """Writes files below a folder `src`."""

    def make(files: Mapping[str, bytes]) -> Path:
        root = tmp_path / "src"
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root

    return make
