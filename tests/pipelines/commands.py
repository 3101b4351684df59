"""Commands of Arcadia's in the tests' own process."""

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from arcadia.cli import main


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    error: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line's JSON."""
        return json.loads(self.out.splitlines()[-1], parse_constant=pytest.fail)


def call_with(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Runs a command with `--json`; what was written before it is forgotten."""
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return Done(code, *capsys.readouterr())


def kill_once_it_has_a_checkpoint(run: Path, name: str = "RayTrainWorker") -> threading.Thread:
    """Kills the actors of a class of this process's once a run has a checkpoint, in a thread."""

    def kill() -> None:
        while not (run / "checkpoints").exists():
            time.sleep(0.1)
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in " ".join(process.cmdline()):
                    process.kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread
