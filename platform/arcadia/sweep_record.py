"""A second copy of Tune's own record of a sweep, which is replaced as a whole or not at all.

Tune copies its record into the run file by file, over the one before: a disk that fills up
meanwhile leaves it cut off, and the sweep could not go on.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ray.tune import Callback

from arcadia.errors import UserError
from arcadia.runs import RunFolder

COPY = "tune_record.zip"
_STATE = "experiment_state-"  # of Tune's files, the one that says how the trials stand
_PERIOD_S = 10.0


class KeepRecord(Callback):
    """Keeps the copy while a sweep goes; in its driver, of which a process has one at a time.

    A sweep that is restored has its callbacks from a file, so that the run hangs on the class.
    """

    run: ClassVar[RunFolder | None] = None
    """That of the sweep which is under way."""

    def __init__(self) -> None:
        self._kept_at = 0.0

    def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
        """Called by Tune after each step of its loop."""
        if KeepRecord.run is None or not trials or time.monotonic() - self._kept_at < _PERIOD_S:
            return
        self._kept_at = time.monotonic()
        keep_record(KeepRecord.run, Path(trials[0].storage.experiment_driver_staging_path))


def keep_record(run: RunFolder, source: Path) -> None:
    """Copies Tune's record, if it is whole; what was kept before stays where there is no room.

    Args:
        run: the sweep's.
        source: where Tune writes its record first.
    """
    data = io.BytesIO()
    try:
        files = {p.name: p.read_bytes() for p in source.iterdir() if p.suffix in (".json", ".pkl")}
        if not _is_whole(files):
            return
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        run.write_bytes(COPY, data.getvalue())
    except (UserError, OSError):
        return


def restore_record(run: RunFolder) -> bool:
    """Puts the copy in the place of Tune's own record; whether there was one.

    Raises:
        UserError: the run cannot be written.
    """
    if not run.exists(COPY):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(run.read_bytes(COPY))) as archive:
            files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    if not _is_whole(files):
        return False
    newest = files[max(_states(files))]
    # Those of sessions that began later, too: Tune goes by the last one.
    files |= {name: newest for name in _states(run.storage.list()) if name not in files}
    for name, content in files.items():
        run.write_bytes(name, content)
    return True


def is_cut_off(run: RunFolder) -> bool:
    """Whether Tune's own record of how the trials stand is there and cannot be read."""
    names = [name for name in run.storage.list() if "/" not in name]
    states = _states(names)
    own = [name for name in names if name.endswith(".pkl")] + states[-1:]
    return bool(states) and not _is_whole({name: run.read_bytes(name) for name in own})


def _states(names: Iterable[str]) -> list[str]:
    """The files that say how the trials stand, of every session, the last one last."""
    return sorted(n for n in names if n.startswith(_STATE) and n.endswith(".json"))


def _is_whole(files: Mapping[str, bytes]) -> bool:
    states = _states(files)
    if not states or not all(c.endswith(b".") for n, c in files.items() if n.endswith(".pkl")):
        return False
    try:
        return "trial_data" in json.loads(files[states[-1]])
    except (ValueError, TypeError, RecursionError):
        return False
