"""What workers tell of themselves, and the request to stop.

In a room of its own: the actor's process imports nothing else, and is there within a second.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping


class Board:
    """An actor that workers tell how far they are, and that tells them when to stop.

    Counts are absolute, and whoever wants workers to stop says it again and again, so that nothing
    is wrong for long after a worker or the board itself was restarted.
    """

    def __init__(self) -> None:
        self._latest: dict[Hashable, dict[str, float]] = {}
        self._stopped = False

    def tell(self, key: Hashable, record: Mapping[str, float]) -> None:
        """How far the work called `key` is. A name that a later record leaves out stays."""
        self._latest.setdefault(key, {}).update(record)

    def stop(self) -> None:
        self._stopped = True

    def is_stopped(self) -> bool:
        return self._stopped

    def latest(self) -> dict[Hashable, dict[str, float]]:
        """What was told last, by key."""
        return self._latest
