"""Where the time of a tick goes: of `benchmarks.dqn_contenders`' plain loop and of arcadia's.

A tick is one step of all eight environments with the two updates it owes. Both loops work in turns
in this process; what the clock of each part shows is divided by the ticks, medians over the turns.
The CPU's share is that of the thread that learns.

    python -m benchmarks.dqn_profile --threads 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.process import begin

ARITHMETIC = ("online forward", "target forward", "backward", "optimizer")
"""Parts that are torch's kernels, the same ones in both loops."""
PARTS = (
    "acting forward",
    "emulator",
    "sampling",
    "stacking",
    *ARITHMETIC,
    "encoding",
    "storing",
    "rest of acting",
    "rest of learning",
    "other",
)


class Clock:
    """Seconds by part, on the wall and of this thread's CPU; parts within a part count once."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self._inner: list[tuple[float, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds what passes inside, less the parts inside it."""
        self._inner.append((0.0, 0.0))
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            inner_wall, inner_cpu = self._inner.pop()
            self.wall[name] += wall - inner_wall
            self.cpu[name] += cpu - inner_cpu
            if self._inner:
                outer_wall, outer_cpu = self._inner[-1]
                self._inner[-1] = outer_wall + wall, outer_cpu + cpu

    def watch(self, owner: Any, method: str, name: str | Callable[..., str]) -> None:
        """Has every later call of an object's method counted."""
        call = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.part(name if isinstance(name, str) else name(*args, **kwargs)):
                return call(*args, **kwargs)

        setattr(owner, method, counted)


def _watch_network(clock: Clock, online: Any, target: Any, optimizer: Any) -> None:
    import torch

    def part(_: Any) -> str:
        return "online forward" if torch.is_grad_enabled() else "acting forward"

    clock.watch(online, "forward", part)
    clock.watch(target, "forward", "target forward")
    clock.watch(optimizer, "step", "optimizer")
    clock.watch(optimizer, "zero_grad", "optimizer")


def _plain_loop(clock: Clock) -> Any:
    from benchmarks.dqn_contenders.plain import PlainLoop

    loop = PlainLoop()
    _watch_network(clock, loop.online, loop.target, loop.optimizer)
    clock.watch(loop.env, "step", "emulator")
    clock.watch(loop, "learn", "rest of learning")
    clock.watch(loop, "sample", "sampling")
    clock.watch(loop, "act", "rest of acting")
    return loop


def _arcadia(clock: Clock, **options: Any) -> Any:
    from algorithms.dqn import updates
    from benchmarks.dqn_contenders.ours import Arcadia

    contender = Arcadia(**options)
    algo = contender.algo
    module, runner = algo.learner.dqn_module, algo.runner
    optimizer = algo.learner.get_optimizer("default_policy")
    _watch_network(clock, module.online, module.target, optimizer)
    for method in ("send", "recv", "reset"):
        clock.watch(runner.frames, method, "emulator")
    clock.watch(algo.replay, "sample", "sampling")
    clock.watch(updates, "stacked", "stacking")
    clock.watch(algo.learner.levels["default_policy"], "update_minibatches", "rest of learning")
    clock.watch(runner, "start_step", "rest of acting")
    clock.watch(runner, "finish_step", "rest of acting")
    clock.watch(runner, "take_fragment", "encoding")
    clock.watch(algo.replay, "add", "storing")
    return contender


def profile(*, turns: int, seconds: float, warm_up_s: float) -> dict[str, dict[str, Any]]:
    """Has both loops work in turns.

    Returns:
        Of each: `tick_ms`, and `parts`, by name `[ms on the wall, ms of CPU]` a tick.
    """
    import torch

    from benchmarks.dqn_contenders.task import NUM_ENVS

    clock = Clock()
    clock.watch(torch.Tensor, "backward", "backward")  # both loops'
    loops = {
        "plain_loop": _plain_loop(clock),
        "arcadia": _arcadia(clock),
        "arcadia, no overlap": _arcadia(clock, overlap=False),
    }
    deterministic = {}
    for name, loop in loops.items():
        loop.work(warm_up_s)
        deterministic[name] = name != "plain_loop"  # RLlib's way with a seed; not a plain loop's
    ticks_ms: dict[str, list[float]] = {name: [] for name in loops}
    parts: dict[str, list[dict[str, tuple[float, float]]]] = {name: [] for name in loops}
    for _ in range(turns):
        for name, loop in loops.items():
            torch.use_deterministic_algorithms(deterministic[name])
            clock.wall.clear()
            clock.cpu.clear()
            with clock.part("other"):
                steps, _ = loop.work(seconds)
            per_tick = 1e3 * NUM_ENVS / steps
            ticks_ms[name].append(sum(clock.wall.values()) * per_tick)
            parts[name].append(
                {p: (clock.wall[p] * per_tick, clock.cpu[p] * per_tick) for p in PARTS}
            )
    return {
        name: {
            "tick_ms": statistics.median(ticks_ms[name]),
            "parts": {
                part: [statistics.median(turn[part][i] for turn in parts[name]) for i in (0, 1)]
                for part in PARTS
            },
        }
        for name in loops
    }


def show(profiles: dict[str, dict[str, Any]], threads: int) -> None:
    """Prints one table, and the bound that arithmetic alone sets."""
    from benchmarks.dqn_contenders.task import NUM_ENVS

    print(f"ms a tick (of this thread's CPU), {threads} threads")
    print(f"{'':<16}" + "".join(f"{name:>22}" for name in profiles))
    for part in PARTS:
        row = [profile["parts"][part] for profile in profiles.values()]
        print(f"{part:<16}" + "".join(f"{wall:13.2f} ({cpu:6.2f})" for wall, cpu in row))
    totals = [profile["tick_ms"] for profile in profiles.values()]
    print(f"{'tick':<16}" + "".join(f"{total:13.2f}         " for total in totals))
    plain = profiles["plain_loop"]["parts"]
    arithmetic = sum(plain[part][0] for part in ARITHMETIC)
    print(
        f"forward, backward and optimizer alone, as the plain loop has them: {arithmetic:.1f} ms a "
        f"tick; nothing else at all would make {1e3 * NUM_ENVS / arithmetic:.0f} steps/s"
    )


def main() -> None:
    """Profiles with one number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--turns", type=int, default=8, help="of each loop (default: 8)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn (default: 5)")
    parser.add_argument("--warm-up-s", type=float, default=12.0, help="default: 12")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    answers = begin(arguments.threads)
    profiles = profile(
        turns=arguments.turns, seconds=arguments.seconds, warm_up_s=arguments.warm_up_s
    )
    sys.stdout = answers
    if arguments.json:
        print(json.dumps(profiles))
    else:
        show(profiles, arguments.threads)
    answers.flush()


if __name__ == "__main__":
    main()
