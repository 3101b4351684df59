"""What size of a distributed DQN holds what, from measured costs; see `benchmarks.dqn_scaling`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from algorithms.dqn import DQNOptions
from algorithms.dqn.options import MAX_STEPS_AHEAD

NUM_ENVS = 8
PLAYED: Any = dict(game="pong", num_envs_per_env_runner=NUM_ENVS, double=False, dueling=False)
MANY_SHARDS, MANY_UPDATES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64), (2, 4, 8, 16, 32)  # a call; tried


@dataclass(frozen=True)
class Line:
    """A cost in s or bytes, measured at some numbers of steps, rows, runners or shards."""

    numbers: tuple[int, ...]
    costs: tuple[float, ...]

    def at(self, number: float) -> float:
        """The cost of so many: on straight lines between what was measured, the last of which
        goes on."""
        (low, high), (first, last) = self.numbers[-2:], self.costs[-2:]
        beyond = max(0.0, number - high) * max(0.0, last - first) / (high - low)
        return float(np.interp(number, self.numbers, self.costs)) + beyond


def lines(numbers: tuple[int, ...], measure: Callable[[int], dict[str, float]]) -> dict[str, Line]:
    """What `measure` gives at some numbers, by name."""
    found = [measure(number) for number in numbers]
    return {name: Line(numbers, tuple(costs[name] for costs in found)) for name in found[0]}


def options_of(num_runners: int, **options: Any) -> DQNOptions:
    """Options of a run with so many runners and, unless it is said, a learner."""
    return DQNOptions(**(PLAYED | dict(num_env_runners=num_runners, num_learners=1) | options))


def predict(
    options: DQNOptions, costs: dict[str, Line], steps_per_s: float, row_s: float
) -> dict[str, Any]:
    """What a run holds.

    Args:
        options: Of the run, with actors that learn.
        costs: As measured.
        steps_per_s: Of a runner that does nothing but play.
        row_s: Seconds that a learner takes for each transition.

    Returns:
        Rates, what limits them, cores used, bytes that travel, and the steps a second that each
        part would hold by itself.
    """
    kind = "prioritized" if options.prioritized else "uniform"
    num_shards, ratio = options.num_replay_shards, options.updates_per_step
    steps = options.fragment_length * options.num_envs_per_env_runner
    all_steps = options.num_env_runners * steps
    rows = options.updates_per_call * options.batch_size / options.num_learners  # of one, in a call
    asked = num_shards * (1 - (1 - 1 / num_shards) ** rows)  # shards that give it some
    share = rows / asked
    calls, broadcasts = ratio / options.updates_per_call, ratio / options.weights_period  # a step
    # A shard draws what it gives to all learners in one call.
    drawn = options.num_learners * rows / num_shards
    sample_s = costs[f"{kind}_cpu_s"].at(drawn)
    sample_s += options.prioritized * costs[f"{kind}_priorities_cpu_s"].at(drawn)
    shard_s = costs["fragment_cpu_s"].at(steps) / steps + calls * num_shards * sample_s
    batches = calls * options.num_learners * asked
    driver_s = costs["report_cpu_s"].at(options.num_env_runners) / steps
    driver_s += calls * costs["update_cpu_s"].at(num_shards)
    driver_s += broadcasts * costs["weights_cpu_s"].at(1)
    call_s = costs["call_s"].at(1)  # also what an actor needs from one call to the next
    push_s = steps / steps_per_s + costs["weights_load_s"].at(1) + call_s
    push_s += costs["fragment_encode_s"].at(steps) + costs["fragment_add_s"].at(steps)
    learn_s = rows * row_s + costs[f"{kind}_fetch_s"].at(rows) + call_s
    # Steps are ahead until their updates are made; those of less than a call wait for others.
    ahead_s = push_s + costs[f"{kind}_draw_s"].at(drawn) + learn_s + 3 * call_s
    waiting = (options.updates_per_call - 1) / 2 / ratio + steps / 2
    bounds = {
        "runners": all_steps / push_s,
        "steps ahead": (max(MAX_STEPS_AHEAD, all_steps) - waiting) / ahead_s,
        "shards": num_shards / shard_s,
        "driver": 1 / driver_s,
        "learner": 1 / (calls * learn_s + broadcasts * costs["weights_give_s"].at(1)),
    }
    held = min(bounds.values())
    return {
        "steps_per_s": held,
        "updates_per_s": held * ratio,
        "limited_by": min(bounds, key=lambda name: bounds[name]),
        "driver_cores": held * driver_s,
        "shard_cores": held * shard_s,
        "fragment_bytes_per_s": held * costs["fragment_bytes"].at(steps) / steps,
        "batch_bytes_per_s": held * batches * costs[f"{kind}_bytes"].at(share),
        **{f"steps_per_s that {name} would hold": bound for name, bound in bounds.items()},
    }


def best(
    num_runners: Sequence[int], wanted: float, assumed: tuple[Any, ...], **options: Any
) -> DQNOptions:
    """The smallest run that holds nearly the steps a second that are wanted, or what is nearest."""
    runs = [
        options_of(runners, num_replay_shards=shards, updates_per_call=calls, **options)
        for runners, shards, calls in product(num_runners, MANY_SHARDS, MANY_UPDATES)
    ]
    runs = [replace(run, rollout_fragment_length=n) for run, n in product(runs, (None, 8, 64))]

    def worth(run: DQNOptions) -> tuple[int, ...]:
        held = predict(run, *assumed)["steps_per_s"] / wanted
        shape = run.num_env_runners, run.num_replay_shards, run.updates_per_call
        return math.floor(20 * min(1, held)), *(-n for n in (*shape, run.fragment_length))

    return max(runs, key=worth)


def show(title: str, columns: dict[str, dict[str, Any]]) -> None:
    """Prints a table, a row for each key of its columns."""
    print(f"\n{title}\n{'':<44}" + "".join(f"{name:>15}" for name in columns))
    for key in next(iter(columns.values())):
        values = [column[key] for column in columns.values()]
        cells = [
            f"{value:,.{0 if value >= 1_000 else 3}f}" if isinstance(value, float) else str(value)
            for value in values
        ]
        print(f"{key:<44}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
