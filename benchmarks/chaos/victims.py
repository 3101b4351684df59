"""Which of a job's processes may be killed, and which of them it is this time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

_TITLE = "ray::"  # of a process that Ray has started for a job
# Processes with such a title that carry nothing out: those that wait for work, that move objects
# to and from the disk, and that serve a node.
_NO_WORKERS = ("IDLE", "SPILL_", "RESTORE_", "DELETE_", "DashboardAgent", "RuntimeEnvAgent")


class Worker(NamedTuple):
    """A process that carries an actor or a task out."""

    name: str
    """The actor's class, or the task."""
    process: psutil.Process


def worker_name(title: str) -> str | None:
    """What a process carries out.

    Args:
        title: as `ps` shows it, such as "ray::Board.latest" or "ray::MapWorker(Map(Painter))".

    Returns:
        "Board", "MapWorker(Map(Painter))"; None: it is no worker.
    """
    if not title.startswith(_TITLE):
        return None
    name = title.removeprefix(_TITLE).strip()
    if name.startswith(_NO_WORKERS) or not name:
        return None
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "(") - (letter == ")")
        if letter == "." and depth == 0:  # what follows is the method that is under way
            return name[:at]
    return name.removesuffix("()")


def workers_among(processes: Sequence[psutil.Process]) -> list[Worker]:
    """Those that carry something out, in an order that does not hang on their numbers."""
    found = []
    for process in processes:
        try:
            words = process.cmdline()
        except psutil.Error:  # it has ended since
            continue
        name = worker_name(words[0] if words else "")
        if name is not None:
            found.append(Worker(name, process))
    return sorted(found, key=lambda worker: (worker.name, worker.process.pid))


def choose(workers: Sequence[Worker], rng: np.random.Generator) -> Worker:
    """One of them, each as likely as any other."""
    return workers[int(rng.integers(len(workers)))]


def marked(name: str, value: str) -> list[psutil.Process]:
    """All processes in whose environment a variable has a value: what inherited it, orphans too."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value:
                found.append(process)
        except (psutil.Error, OSError):  # ended since, or somebody else's
            continue
    return found
