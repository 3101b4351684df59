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
    module = importlib.import_module(f"{__name__}.{options.task}")
    return getattr(module, _CLASSES[options.task])(options.resolved(), seed, data)
