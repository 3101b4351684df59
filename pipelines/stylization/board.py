"""What painters tell of themselves, and the request to stop.

In a room of its own: the actor's process imports nothing else, and is there within a second.
"""

from __future__ import annotations


class Board:
    """An actor that painters tell how far they are, and that tells them when to stop.

    Counts are absolute, and whoever wants painters to stop says it again and again, so that nothing
    is wrong for long after a painter or the board itself was restarted.
    """

    def __init__(self) -> None:
        self._done: dict[tuple[str, int], int] = {}
        self._seconds: dict[tuple[str, int], float] = {}
        self._stopped = False

    def tell(self, video: str, part: int, done: int, seconds: float) -> None:
        """How many frames (times passes) of a part are finished, and the seconds of the last one,
        0 where none was painted."""
        self._done[video, part] = done
        if seconds:
            self._seconds[video, part] = seconds

    def stop(self) -> None:
        self._stopped = True

    def is_stopped(self) -> bool:
        return self._stopped

    def progress(self) -> tuple[dict[tuple[str, int], int], float]:
        """Finished frames by part, and the mean seconds of the latest ones."""
        latest = list(self._seconds.values())
        return dict(self._done), sum(latest) / len(latest) if latest else 0.0
