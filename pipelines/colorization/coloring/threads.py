"""Reading and writing beside the network's work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], number: int
) -> Iterator[R]:
    """`map(function, items)` in the threads of a pool, so many results ahead of their use."""
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > number:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
