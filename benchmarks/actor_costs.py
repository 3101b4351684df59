"""What calls of Ray actors cost, in time and in CPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import ray

REPETITIONS = 40


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, by Linux's clock of all its threads; 0: this one."""
    return time.clock_gettime(~pid << 3 | 2)


def median_s(action: Callable[[], Any], pid: int = 0) -> tuple[float, float]:
    """Seconds that an action takes, and CPU seconds that it takes a process, Ray's included."""
    samples = []
    for _ in range(REPETITIONS + 3):
        cpu, began = cpu_s(pid), time.perf_counter()
        action()
        samples.append((time.perf_counter() - began, cpu_s(pid) - cpu))
    walls, cpus = zip(*samples[3:], strict=True)  # warm
    return statistics.median(walls), statistics.median(cpus)


def inside_s(actor: Any, action: Callable[[Any, Any], Any], argument: Callable[[], Any]) -> float:
    """Seconds that an action on an actor takes inside it; the argument is made for each."""

    def call(self: Any, value: Any) -> float:
        began = time.perf_counter()
        action(self, value)
        return time.perf_counter() - began

    calls = (actor.__ray_call__.remote(call, argument()) for _ in range(REPETITIONS + 3))
    samples: list[Any] = [ray.get(ref) for ref in calls]
    return statistics.median(samples[3:])


def make(cls: Any, *arguments: Any, **named: Any) -> Any:
    """An actor that takes next to nothing of the cluster, once it is there."""
    actor = ray.remote(num_cpus=0.01)(cls).remote(*arguments, **named)
    ray.get(actor.__ray_ready__.remote())
    return actor


def set_up(actors: list[Any], **values: Any) -> None:
    """Sets attributes of actors."""
    ray.get([a.__ray_call__.remote(lambda self: vars(self).update(values)) for a in actors])
