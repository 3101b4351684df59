"""What a process that measures does first."""

from __future__ import annotations

import os
from typing import TextIO


def begin(threads: int) -> TextIO:
    """Lets torch compute with so many threads, and sends all that is printed to stderr.

    Call it before torch and Ray are imported.

    Returns:
        What was stdout, for answers alone.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from arcadia.cluster import state_environment

    state_environment()
    import torch

    torch.set_num_threads(threads)
    return answers
