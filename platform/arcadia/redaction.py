"""Takes credentials out of what people are shown: pages are passed on."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path

from arcadia.storage import without_secrets

HIDDEN = "…"
"""Stands where a credential was."""

_NAMES = r"(?:token|secret|password|passwd|credentials?|(?:api|access|secret)[_-]?key)"
_NAME = re.compile(rf"(?:^|[\W_]){_NAMES}$", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_ASSIGNED = re.compile(rf"({_NAMES}=)(?!{HIDDEN})[^\s\"'&;,]+", re.IGNORECASE)
_OPTION = re.compile(rf"(--[\w-]*{_NAMES}\s+)(?!{HIDDEN})\S+", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)

_VARIABLES = ("RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_TOKEN = "~/.ray/auth_token"  # where Ray keeps its own
_SHORTEST = 8  # of a value that is looked for by itself; a shorter one is in many a word


def redacted(text: str) -> str:
    """A text in which a mark stands for each credential.

    Of an address user, password and query go; of `NAME=value` and `--name value` the value, where
    the name ends in token, secret, password or the like; and wherever they stand Ray's
    authentication token, from wherever Ray takes it, and the secrets of AWS that this process has
    in its environment.
    """
    for value in _own():
        text = text.replace(value, HIDDEN)
    text = _ADDRESS.sub(lambda match: _shown(match[0]), text)
    for pattern in (_ASSIGNED, _OPTION, _BEARER):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a credential."""
    return _NAME.search(name) is not None


def _shown(address: str) -> str:
    bare = without_secrets(address)
    if address.rstrip("/") == bare:
        return address
    scheme, mark, rest = bare.partition("://")
    user = "" if address.startswith(bare) else f"{HIDDEN}@"
    return f"{scheme}{mark}{user}{rest}" + (f"?{HIDDEN}" if "?" in address else "")


def _own() -> list[str]:
    """The credentials of this process."""
    values = [os.environ.get(name, "") for name in _VARIABLES]
    for path in (os.environ.get("RAY_AUTH_TOKEN_PATH", ""), os.path.expanduser(_TOKEN)):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            values.append(_content(path, os.stat(path).st_mtime_ns))
    return [value for value in values if len(value) >= _SHORTEST]


@functools.cache
def _content(path: str, changed_ns: int) -> str:
    return Path(path).read_text().strip()
