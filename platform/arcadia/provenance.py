"""What a run was made with: versions, machine and commit, found without importing anything big."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from arcadia import __version__

_PACKAGES = (
    "ray",
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "pyarrow",
    "opencv-python-headless",
    "av",
)


def versions() -> dict[str, str]:
    """The versions of Arcadia, Python, and those installed of the packages that decide results."""
    found = {"arcadia": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def machine() -> dict[str, Any]:
    """The operating system and the number of CPUs that it shows."""
    return {"platform": platform.platform(), "num_cpus": os.cpu_count()}


def commit() -> str | None:
    """The commit of the checkout that this code runs from, with "-dirty" when it was edited.

    None outside a checkout. An installed copy may lie inside somebody else's: only a tracked file
    counts.
    """
    here = Path(__file__).resolve()
    git = ["git", "--no-optional-locks", "-C", str(here.parent)]
    tracked = [*git, "ls-files", "--error-unmatch", here.name]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        answer = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
