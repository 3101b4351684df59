"""Keys in addresses, taken out of a command line before anything is done with it.

An address is recorded with its run, shown on pages, told to workers and written into Ray's logs, so
that a key in one would be, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

from arcadia.errors import UserError

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<rest>\S*)")
_VARIABLES = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_SESSION = "AWS_SESSION_TOKEN"


def without_credentials(words: Iterable[str]) -> list[str]:
    """The words of a command line, without the keys in their addresses.

    `s3://KEY:SECRET@bucket/path` becomes `s3://bucket/path`, and AWS's own variables say key and
    secret from then on, in this process and those that it starts.

    Raises:
        UserError: an address with a key that cannot be read, of another scheme, or that differs
            from one before it.
    """
    found: dict[tuple[str, str], None] = {}
    cleaned = [_ADDRESS.sub(lambda match: _cleaned(match, found), word) for word in words]
    if len(found) > 1:
        raise UserError(
            "two addresses have different keys, and a command works with one; set "
            f"{' and '.join(_VARIABLES)} to one that may do both"
        )
    for pair in found:
        os.environ.update(zip(_VARIABLES, pair, strict=True))
        os.environ.pop(_SESSION, None)  # which would belong to another key
    return cleaned


def _cleaned(match: re.Match[str], found: dict[tuple[str, str], None]) -> str:
    scheme, rest = match["scheme"], match["rest"]
    place, slash, path = rest.partition("/")
    owner, at, host = place.rpartition("@")
    if not at:
        user, colon, port = place.partition(":")
        if colon and not port.isdigit() and "@" in path and not user.startswith("["):
            raise UserError(
                f"{scheme}://...: holds a key that cannot be read; write / as %2F in it, or set "
                f"{' and '.join(_VARIABLES)}"
            )
        return match[0]
    user, colon, password = owner.partition(":")
    if not colon:
        return match[0]  # a name alone, such as gs://anonymous@bucket, is no secret
    if scheme.lower() != "s3" or not user or not password:
        raise UserError(
            f"{scheme}://{host}{slash}{path}: holds a key, which would be recorded with the run; "
            "give it as the storage's own tools take it, and the address without"
        )
    found[unquote(user), unquote(password)] = None
    return f"{scheme}://{host}{slash}{path}"
