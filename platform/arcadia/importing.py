"""Modules that a user names: a goal space, an environment."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def import_named(name: str) -> ModuleType:
    """A module that is installed, or lies in the current folder.

    `python -m` and Ray's workers look into the current folder by themselves, the arcadia command
    does not; what is installed goes first.

    Raises:
        ImportError: there is none, or what it imports is not there.
        ValueError, TypeError: it is no name of a module.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
        importlib.invalidate_caches()
    return importlib.import_module(name)
