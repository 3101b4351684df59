"""How much memory a job takes in all its processes."""

from __future__ import annotations

import threading


class PeakMemory:
    """The largest sum of PSS over this process and all that descend from it, while entered.

    Attributes:
        bytes: that sum so far.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

        me = psutil.Process()
        while not self._over.wait(1.0):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.bytes = max(self.bytes, total)
