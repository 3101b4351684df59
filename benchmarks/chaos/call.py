"""One call of a command, with a Ray of its own: begun, watched, killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

from benchmarks.chaos.victims import Worker, marked, workers_among

_ROOT = Path(__file__).parents[2]
_MARK = "ARCADIA_CHAOS_MARK"
_LEAVE_S = 20.0  # that what a killed driver leaves behind has to end by itself


class Call:
    """A command in a process group of its own; what it has started is told by a mark.

    Args:
        folder: where it stands, and where what it says is kept.
        module: of Python, that is the command.
        words: of the command.
    """

    def __init__(self, folder: Path, module: str, words: Sequence[str]):
        self._mark = secrets.token_hex(8)
        self._out, self._error = (folder / f"{self._mark}.{end}" for end in ("out", "err"))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        paths = os.pathsep.join([str(_ROOT), str(_ROOT / "platform")])
        with self._out.open("w") as out, self._error.open("w") as error:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=folder,
                env=environment | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", _MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=error,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """Its exit code; None: it goes on."""
        return self.process.poll()

    @property
    def said(self) -> str:
        """All that it has written for people so far."""
        return self._out.read_text(errors="replace") + self._error.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        """The last line of its stderr, which says what went wrong."""
        lines = self._error.read_text(errors="replace").splitlines()
        own = [line for line in lines if line.startswith("arcadia: ")]
        return (own or lines or ["nothing was said"])[-1]

    @property
    def result(self) -> dict[str, Any]:
        """The result that ends its stdout; empty where there is none."""
        # Ray tells of a killed worker when it likes, also behind the result.
        lines = [line for line in self._out.read_text().splitlines() if line[:1] == "{"]
        with contextlib.suppress(ValueError):
            return json.loads(lines[-1]) if lines else {}
        return {}

    def workers(self) -> list[Worker]:
        """The processes that carry its actors and tasks out now."""
        return workers_among(marked(_MARK, self._mark))

    def kill(self) -> list[str]:
        """Kills it, and what it leaves behind and does not end by itself.

        Returns:
            The titles of the latter.
        """
        self.process.kill()
        self.process.wait()
        until = time.monotonic() + _LEAVE_S
        while (left := marked(_MARK, self._mark)) and time.monotonic() < until:
            time.sleep(0.2)
        titles = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                titles.append(" ".join(process.cmdline())[:80])
                process.kill()
        psutil.wait_procs(left, timeout=_LEAVE_S)
        return titles


def carry_out(folder: Path, words: Sequence[str]) -> dict[str, Any]:
    """Carries out `arcadia WORDS`, to which nothing happens; its result.

    Raises:
        RuntimeError: it failed, with its last line.
    """
    call = Call(folder, "arcadia", words)
    try:
        call.process.wait()
    finally:
        call.kill()
    if call.code != 0:
        raise RuntimeError(f"arcadia {' '.join(words)}: {call.last_words}")
    return call.result
