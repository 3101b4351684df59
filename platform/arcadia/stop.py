"""Ending a job when it is asked to, at a moment of its own choosing."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self


class StopSignal:
    """Turns the first SIGINT or SIGTERM into a request; the second interrupts at once.

    A context manager. A job looks at `requested` where it can leave something whole behind. Enter
    it after Ray is connected: Ray sets a handler of its own then.

    Attributes:
        requested: whether a signal came.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._on_signal)
            except ValueError:  # not in the main thread: whoever is there handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
