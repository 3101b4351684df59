"""The tasks, by name; each in a module of its own, which is loaded when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from pipelines.sequences.config import SequenceOptions, TaskName
from pipelines.sequences.task import Task

_CLASSES: Mapping[TaskName, str] = {
    "unique_integers": "UniqueIntegers",
    "associative_recall": "AssociativeRecall",
    "execute": "Execute",
    "language": "Language",
    "translation": "Translation",
    "captions": "Captions",
    "images": "Images",
}


def task_of(options: SequenceOptions, seed: int, data: Sequence[str] = ()) -> Task:
    """The task that options name, with its own values where they say nothing; see `Task`."""
    return _class_of(options.task)(options.resolved(), seed, data)


def metrics_of(task: TaskName) -> tuple[str, ...]:
    """The names of a task's figures, the one it is judged by first."""
    return _class_of(task).metrics


def _class_of(task: TaskName) -> type[Task]:
    return getattr(importlib.import_module(f"{__name__}.{task}"), _CLASSES[task])
