"""Experiments with noisy activation functions on sequences (Gulcehre et al. 2016, section 5).

The names are loaded at first use, so that the command line can show its options without importing
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.sequences.config import SequenceOptions
    from pipelines.sequences.task import Task
    from pipelines.sequences.tasks import task_of
    from pipelines.sequences.trial import sweep_trial

__all__ = ["SequenceOptions", "Task", "sweep_trial", "task_of"]

_WHERE = {
    "SequenceOptions": "config",
    "Task": "task",
    "sweep_trial": "trial",
    "task_of": "tasks",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
