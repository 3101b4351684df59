"""Small disks that fill up; `make_disk` of the tests makes them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from arcadia.runs import RunFolder


def fill(disk: Path, leave_bytes: int = 0) -> Path:
    """Takes all of a disk's space but some; the file that does, which can be removed."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(bytes(max(free.f_bavail * free.f_frsize - leave_bytes, 0)))
    return ballast


def fill_at_a_checkpoint(disk: Path, run: Path) -> threading.Thread:
    """Fills a disk once a run on it has a checkpoint, in a thread."""

    def wait() -> None:
        while not RunFolder.is_run(run) or not RunFolder.open(run).checkpoints():
            time.sleep(0.05)
        fill(disk)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread
