"""Files on this machine's disks that are either whole or not there."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from arcadia.errors import UserError

_TEMPORARY = re.compile(r"\..+\.tmp-\d+-[0-9a-f]{8}")


def temporary_name(path: Path) -> Path:
    """A free name beside `path`, hence on the same file system: `.name.tmp-<pid>-<random>`."""
    return path.parent / f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"


def is_temporary(name: str) -> bool:
    """Whether a file or folder name is one that `temporary_name` made."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_folder() -> Path:
    """A new folder on this machine that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="arcadia-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def explained(action: str, where: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an OSError of the block into a UserError of one line; but not that of a reader of our
    output who left, which is nothing of the place.

    Args:
        action: what was tried, as in "cannot <action>".
        where: the path or address that it was tried on.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
        if error.errno == errno.EEXIST:  # making a folder where a file is
            reason = os.strerror(errno.ENOTDIR)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "free some space there or choose another place"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            way_out = "ask for access to it or choose another place"
        elif "://" in str(where):
            way_out = "check the address and the credentials"
        else:
            way_out = "check the path or choose another place"
        raise UserError(f"{where}: cannot {action}: {reason}; {way_out}") from error


def refuse_special(path: str | os.PathLike[str]) -> None:
    """Refuses a pipe or a device, whose reading may never end; what is not there passes.

    Raises:
        UserError: it is one.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a pipe, a socket or a device; give a file")


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path to write a file at, which becomes `path` when the block succeeds.

    Missing parents are made. When the block fails, the temporary file is removed and what was at
    `path` stays as it was; an OSError becomes a UserError.
    """
    temporary = temporary_name(path)
    with explained("write", path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        flush(path.parent)


@contextlib.contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder while the block runs; a process that dies lets go.

    Raises:
        UserError: another process holds it.
    """
    # Neither through a link nor emptied: the folder may be somebody else's.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.ExitStack() as held:
        with explained("lock", folder):  # but nothing that the block does
            file = held.enter_context(open(os.open(folder / ".lock", flags, 0o666), "r+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{folder}: another process is at work in it; wait for its end or choose "
                    "another place"
                ) from error
        yield


def flush(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse to flush a folder; the rename itself still holds.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
