"""Modules that a user names are found where the user stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arcadia.importing import import_named

CODE = "from arcadia.importing import import_named; print(import_named('{}').__file__)"


def found(name: str, folder: Path) -> str:
    """By a process that does not look into the current folder by itself."""
    paths = [path for path in sys.path if path]
    code = f"import sys; sys.path[:] = {paths!r}; " + CODE.format(name)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_module_of_the_current_folder_is_found_behind_those_that_are_installed(tmp_path: Path):
    for name in ("of_my_own", "json"):
        (tmp_path / f"{name}.py").touch()
    assert found("of_my_own", tmp_path) == str(tmp_path / "of_my_own.py")
    assert not found("json", tmp_path).startswith(str(tmp_path))
    with pytest.raises(ImportError):
        import_named("of_nobody_at_all")
