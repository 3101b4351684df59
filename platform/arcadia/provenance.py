"""What a run was made with: versions, machine and commit, found without importing anything big."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from arcadia import __version__
from arcadia.redaction import redacted

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


def origin(command: Sequence[str] | None, seed: int | None) -> dict[str, Any]:
    """What is kept beside results to make them again: command line, seed, versions, machine and
    commit. Credentials in the command line are left out, for it is shown."""
    return {
        "command": None if command is None else [redacted(word) for word in command],
        "seed": seed,
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
    }


def versions() -> dict[str, str]:
    """The versions of Arcadia, Python, and those installed of the packages that decide results."""
    found = {"arcadia": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def machine() -> dict[str, Any]:
    """The operating system, the processor and the number of CPUs that it shows, and the GPUs."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "gpus": _gpus(),
    }


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


def _processor() -> str:
    """What the processor is called; empty where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()


def _gpus() -> list[str]:
    """What NVIDIA's GPUs are called, by their driver's own tool: torch would take seconds, and
    memory on each."""
    ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
