# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""What the parts of a distributed DQN cost, what size of run follows, and whether it does.

1. Costs: fragments, batches, weights and the driver's loop, each through real Ray actors on this
   machine, with a random player's Pong (8 environments, grey 84x84, stacks of 4, 3 steps).
2. Model: `predict` says from them what a run holds and which part limits it, as on one machine; of
   a network it only counts the bytes that would travel.
3. Simulation: the real loop, shards and Ray calls with runners and a learner that sleep instead of
   computing, at two sizes, limited by the runners and by the learner, beside what was predicted.

The rates of a learner (--updates-per-s) and of runners (--steps-per-s) are assumed, not measured.

    python -m benchmarks.dqn_scaling --json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any

from arcadia import cluster

cluster.state_environment()
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import ray

from algorithms.dqn import DQNConfig, DQNOptions
from algorithms.dqn.distributed import Distributed
from algorithms.dqn.learners import LearnerActors, is_whole
from algorithms.dqn.options import MAX_STEPS_AHEAD
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.runner_actors import RunnerActors
from algorithms.replay import Batch, Fragment
from algorithms.replay.shard import ReplayShard
from algorithms.replay.sharded import ShardedReplay
from benchmarks.replay import machine

NUM_ENVS = 8
STEPS = (8 * NUM_ENVS, 64 * NUM_ENVS)  # of fragments that are measured
ROWS = (64, 512)  # of batches
SHARDS = (1, 4)  # that the driver has a batch drawn from
RUNNERS = (16, 1_000)  # that it looks after
REPETITIONS = 40
NUM_TICKS = 400  # that throttled runners send again and again; no game of Pong ends that soon
SIZES = ((4, 1), (16, 2))  # simulated runners and shards
REGIMES = {"runners": 0.25, "learner": 2.0}  # seconds of the updates over those of the steps
HEADROOM = 0.8  # share of its time that shard, driver and learner are planned to be busy
LONGEST = 64  # planned updates a call, and steps of each environment a fragment
OPTIONS = dict(game="pong", num_envs_per_env_runner=NUM_ENVS, double=False, dueling=False)
REPLAY = dict(capacity=20_000, frame_shape=(84, 84), n_step=3, priority_exponent=None)


class Timed:
    """Says how long its calls take inside."""

    def inside_s(self, name: str, *arguments: Any) -> float:
        """Seconds of a call."""
        began = time.perf_counter()
        getattr(self, name)(*arguments)
        return time.perf_counter() - began


class TimedShard(Timed, ReplayShard):
    """A real shard."""


class TimedRunner(Timed, DQNRunner):
    """A real runner."""


class ThrottledRunner:
    """Takes steps at a set rate by sleeping, and sends recorded ones; asked as a `DQNRunner`.

    Args:
        number: From 1, on which its streams hang.
        ticks: Recorded steps of all environments, from the start of their episodes.
    """

    def __init__(self, number: int, ticks: list[Fragment]) -> None:
        # An annotation is all that is taken from there, which would bring RLlib and torch along.
        sys.modules["algorithms.dqn.episodes"] = SimpleNamespace(Episode=None)  # type: ignore
        from algorithms.dqn.pushing import FragmentSender, Report

        self._make_sender, self._make_report = FragmentSender, Report
        self._streams = (number - 1) * NUM_ENVS + np.arange(NUM_ENVS)
        self._ticks, self._num_sent = cycle(ticks), 0

    def pace(self, steps_per_s: float, stores: bool) -> None:
        """Sets the rate, and whether anything is sent to shards."""
        self._steps_per_s, self._stores = steps_per_s, stores

    def connect(self, shards: list[Any], num_streams: int) -> None:
        """As `DQNRunner`."""
        self._sender = self._make_sender(shards, num_streams)
        self._status = ray.get(shards[0].status.remote())

    def push(self, num_timesteps: int, **_: Any) -> Any:
        """As `DQNRunner`; the weights come, and are not used."""
        time.sleep(num_timesteps / self._steps_per_s)
        if not self._stores:
            return self._make_report(num_steps=num_timesteps, statuses=[(0, self._status)])
        ticks = list(islice(self._ticks, num_timesteps // NUM_ENVS))
        columns = {f.name: [getattr(tick, f.name) for tick in ticks] for f in fields(Fragment)}
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        numbers = self._num_sent + np.arange(len(ticks))
        named = dict(stream=np.tile(self._streams, len(ticks)), sequence=numbers.repeat(NUM_ENVS))
        self._num_sent += len(ticks)
        report = self._make_report()
        self._sender.send(Fragment(**(joined | named)), report)
        return report


class ThrottledLearner(Timed):
    """Gets its batches and sleeps instead of learning; asked as a `DQNLearner`."""

    def __init__(self, weights_bytes: int) -> None:
        self._weights = np.zeros(weights_bytes, np.uint8)
        self._num_updates, self._update_s = 0, 0.0

    def pace(self, update_s: float) -> None:
        """Sets the seconds that an update takes."""
        self._update_s = update_s

    def fetch(self, refs: list[ray.ObjectRef]) -> Batch:
        """Gets batches and puts them together."""
        return self._join(ray.get(refs))

    def learn(self, *parts: Batch, num_minibatches: int, **_: Any) -> Any:
        """As `DQNLearner`."""
        batch = self._join(parts)
        time.sleep(num_minibatches * self._update_s)
        self._num_updates += num_minibatches
        error = np.zeros(len(batch), np.float32)  # not in a Learned, whose module imports torch
        return SimpleNamespace(metrics={"loss": 0.0}, origin=batch.origin, id=batch.id, error=error)

    def weights(self) -> dict[str, np.ndarray]:
        """As many bytes as the network's."""
        return {"network": self._weights}

    def get_state(self) -> dict[str, Any]:
        """As many bytes as two networks and Adam's averages."""
        return {"num_updates": self._num_updates, "arrays": np.tile(self._weights, 4)}

    def _join(self, parts: Sequence[Batch]) -> Batch:
        return Batch.join(parts, np.arange(sum(map(len, parts))))  # with an order, so it copies


@dataclass(frozen=True)
class Line:
    """A cost in s or bytes, measured at two numbers of steps, rows, runners or shards."""

    numbers: tuple[int, int]
    costs: tuple[float, float]

    def at(self, number: float) -> float:
        """The cost of so many: on the line through both, which never falls."""
        (low, high), (first, last) = self.numbers, self.costs
        return max(0.0, first + max(0.0, last - first) * (number - low) / (high - low))


def lines(numbers: tuple[int, int], measure: Callable[[int], dict[str, float]]) -> dict[str, Line]:
    """What `measure` gives at both numbers, by name."""
    first, last = map(measure, numbers)
    return {name: Line(numbers, (first[name], last[name])) for name in first}


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


def median_inside_s(actor: Any, name: str, *arguments: Any) -> float:
    """Seconds that a call takes inside an actor; arguments that are functions are called."""

    def call() -> float:
        made = [argument() if callable(argument) else argument for argument in arguments]
        return ray.get(actor.inside_s.remote(name, *made))

    return statistics.median([call() for _ in range(REPETITIONS + 3)][3:])


def make(cls: Any, *arguments: Any, **named: Any) -> Any:
    """An actor that takes next to nothing of the cluster."""
    return ray.remote(num_cpus=0.01)(cls).remote(*arguments, **named)


def play(runner: DQNRunner, num_steps: int) -> tuple[Fragment, float]:
    """A fragment of so many steps, and the seconds to encode it."""
    for _ in range(num_steps // NUM_ENVS):
        runner.start_step()
        runner.finish_step()
    began = time.perf_counter()
    fragment = runner.take_fragment()
    return fragment, time.perf_counter() - began


def shard_costs(runner: DQNRunner, reader: Any, kind: str) -> dict[str, Line]:
    """Of fragments, batches of a kind, and priorities, with a shard of its own."""
    shard = make(TimedShard, REPLAY | {"priority_exponent": 0.5 if kind == "prioritized" else None})
    _, pid = ray.get(shard.place.remote())

    def fragments(num_steps: int) -> dict[str, float]:
        played = [play(runner, num_steps) for _ in range(REPETITIONS)]
        turn = cycle(fragment for fragment, _ in played)
        add_s, cpu = median_s(lambda: ray.get(shard.add.remote(ray.put(next(turn)))), pid)
        by_value_s, _ = median_s(lambda: ray.get(shard.add.remote(next(turn))))
        return {
            "fragment_encode_s": statistics.median(seconds for _, seconds in played),
            "fragment_put_add_s": add_s,
            "fragment_value_add_s": by_value_s,
            "fragment_inside_s": median_inside_s(shard, "add", lambda: next(turn)),
            "fragment_cpu_s": cpu,
            "fragment_bytes": statistics.median(fragment.nbytes for fragment, _ in played),
        }

    def batches(num_rows: int) -> dict[str, float]:
        def draw() -> ray.ObjectRef:
            batch, status = shard.sample.options(num_returns=2).remote(num_rows)
            ray.get(status)  # as the driver does, which never gets the batch
            return batch

        batch = ray.get(draw())
        told = int(batch.origin[0]), batch.id, np.ones(num_rows)
        draw_s, draw_cpu = median_s(draw, pid)
        tell_s, tell_cpu = median_s(lambda: ray.get(shard.update_priorities.remote(*told)), pid)
        return {
            f"{kind}_draw_s": draw_s,
            f"{kind}_inside_s": median_inside_s(shard, "sample", num_rows),
            f"{kind}_cpu_s": draw_cpu,
            f"{kind}_fetch_s": median_inside_s(reader, "fetch", lambda: [draw()]),
            f"{kind}_bytes": sum(getattr(batch, field.name).nbytes for field in fields(Batch)),
            f"{kind}_priorities_s": tell_s,
            f"{kind}_priorities_cpu_s": tell_cpu,
        }

    costs = lines(STEPS, fragments) | lines(ROWS, batches)
    ray.kill(shard)
    return costs


def start(options: DQNOptions, runners: list[Any], learner: Any) -> Distributed:
    """The real loop, over new shards; too few runners are asked under several numbers."""
    rng, num_shards = np.random.default_rng(0), options.num_replay_shards
    streams = options.num_streams
    replay = ShardedReplay(num_shards, REPLAY, num_streams=streams, seed=0, num_cpus=0.01, rng=rng)
    numbered = dict(enumerate(islice(cycle(runners), options.num_env_runners), 1))
    group: Any = SimpleNamespace(_worker_manager=SimpleNamespace(actors=lambda: numbered))
    learners: Any = SimpleNamespace(_workers=[learner])
    acting = LearnerActors(learners, lambda: learners, 500, lambda _: None)
    return Distributed(options, RunnerActors(group), acting, replay, seed=0)


def drive(loop: Distributed, seconds: float, num_steps: int) -> dict[str, float]:
    """What a loop does a second, asked for so many steps at a time; ends its shards."""
    pids = [pid for _, pid in ray.get([shard.place.remote() for shard in loop.replay.shards])]

    def state() -> np.ndarray:
        with open("/proc/stat") as file:
            idle_s = sum(map(int, file.readline().split()[4:6])) / os.sysconf("SC_CLK_TCK")
        used_s = cpu_s(0), sum(map(cpu_s, pids)), idle_s
        return np.array([time.perf_counter(), loop.num_env_steps, loop.num_updates, *used_s])

    before = state()
    while time.perf_counter() < before[0] + seconds:
        loop.run(num_steps)
    elapsed_s, *past = (state() - before).tolist()
    loop.settle()
    loop.stop()
    names = ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores", "idle_cores")
    return {name: value / elapsed_s for name, value in zip(names, past, strict=True)}


def driver_costs(
    runners: list[Any], learner: Any, ticks: list[Fragment], seconds: float
) -> dict[str, Line]:
    """CPU of the driver while nothing else takes long."""
    ray.get([runner.pace.remote(math.inf, False) for runner in runners])
    ray.get(learner.pace.remote(0.0))

    def report(num_runners: int) -> dict[str, float]:
        options = DQNOptions(**OPTIONS, num_env_runners=num_runners, learning_starts=1_000_000)
        steps = options.fragment_length * NUM_ENVS
        loop = start(options, runners, learner)
        loop.run(2 * num_runners * steps)
        rates = drive(loop, seconds, 10_000)
        return {"report_cpu_s": rates["driver_cores"] / rates["steps_per_s"] * steps}

    costs = lines(RUNNERS, report)

    def update(num_shards: int) -> dict[str, float]:
        named = dict(num_env_runners=RUNNERS[0], num_replay_shards=num_shards, updates_per_step=0.5)
        options = DQNOptions(**OPTIONS, **named, learning_starts=500, weights_period=1_000_000)
        loop = start(options, runners, learner)
        ray.get([shard.add.remote(tick) for shard in loop.replay.shards for tick in ticks])
        loop.settle()
        loop.run(1_000)
        rates = drive(loop, seconds, 1_000)
        reports_per_s = rates["steps_per_s"] / options.fragment_length / NUM_ENVS
        rest = rates["driver_cores"] - reports_per_s * costs["report_cpu_s"].at(RUNNERS[0])
        return {"update_cpu_s": rest / rates["updates_per_s"] * options.updates_per_call}

    return costs | lines(SHARDS, update)


def measure_costs(seconds: float) -> tuple[dict[str, Line], list[Any], Any]:
    """All costs by name, and the throttled runners and learner."""
    config: Any = DQNConfig.preset("fast", **OPTIONS).debugging(seed=0)
    runner = DQNRunner(config=config, worker_index=1)
    ticks = [play(runner, NUM_ENVS)[0] for _ in range(NUM_TICKS)]
    held = ray.put(ticks)
    runners = [make(ThrottledRunner, i + 1, held) for i in range(SIZES[-1][0])]
    network = config.build_learner(spaces=runner.get_spaces())
    weights = network.weights()
    weights_bytes = sum(value.nbytes for value in weights.values())
    learner, player = make(ThrottledLearner, weights_bytes), make(TimedRunner, config=config)
    sent = {"rl_module": ray.put(weights)}
    once = {
        "weights_bytes": weights_bytes,
        "weights_give_s": median_s(network.weights)[0],
        "weights_load_s": median_inside_s(player, "set_state", sent),
        "weights_cpu_s": median_s(lambda: is_whole(learner.weights.remote()))[1],
        "call_s": median_s(lambda: ray.get(learner.pace.remote(0.0)))[0],
    }
    ray.kill(player)
    costs = shard_costs(runner, learner, "prioritized") | shard_costs(runner, learner, "uniform")
    runner.stop()
    costs |= driver_costs(runners, learner, ticks, seconds)
    return costs | {name: Line((0, 1), (one, one)) for name, one in once.items()}, runners, learner


def predict(
    options: DQNOptions, costs: dict[str, Line], steps_per_s: float, row_s: float
) -> dict[str, Any]:
    """What a run holds.

    Args:
        options: Of the run, with actors that learn.
        costs: As measured.
        steps_per_s: Of a runner that does nothing but play.
        row_s: Seconds of a learner for each transition that it learns from.

    Returns:
        Steps and updates a second; `limited_by`; steps a second that each part would hold, as
        `bounds`; cores used, and bytes that travel a second.
    """

    def cost(name: str, number: float = 0) -> float:
        return costs[name].at(number)

    kind = "prioritized" if options.prioritized else "uniform"
    num_runners, num_shards = options.num_env_runners, options.num_replay_shards
    num_learners, per_call = options.num_learners, options.updates_per_call
    steps = options.fragment_length * options.num_envs_per_env_runner
    calls = options.updates_per_step / per_call  # of the learners, for each step; as what follows
    broadcasts = options.updates_per_step / options.weights_period
    rows = per_call * options.batch_size // num_learners  # of one learner in a call
    asked = num_shards * (1 - (1 - 1 / num_shards) ** rows)  # shards that give it some
    share, samples = rows / asked, calls * num_learners * asked
    sample_s = cost(f"{kind}_cpu_s", share)
    sample_s += cost(f"{kind}_priorities_cpu_s", share) if options.prioritized else 0
    shard_s = cost("fragment_cpu_s", steps) / steps + samples * sample_s
    reports_s = cost("report_cpu_s", num_runners) / steps
    updates_s = calls * cost("update_cpu_s", num_learners * asked) + broadcasts * cost(
        "weights_cpu_s"
    )
    learn_s = rows * row_s + cost(f"{kind}_fetch_s", rows)
    push_s = steps / steps_per_s + sum(
        cost(name, steps) for name in ("fragment_encode_s", "fragment_put_add_s", "weights_load_s")
    )
    # Steps count as asked for until their updates are made; a few always wait for the next call.
    paid_s = push_s + cost(f"{kind}_draw_s", share) + learn_s + 3 * cost("call_s")
    waiting = (per_call - 1) / 2 / options.updates_per_step + steps / 2
    bounds = {
        "runners": num_runners * steps / push_s,
        "steps ahead": (max(MAX_STEPS_AHEAD, num_runners * steps) - waiting) / paid_s,
        "shards": num_shards / shard_s,
        "driver": 1 / (reports_s + updates_s),
        "learner": 1 / (calls * learn_s + broadcasts * cost("weights_give_s")),
    }
    held = min(bounds.values())
    return {
        "steps_per_s": held,
        "updates_per_s": held * options.updates_per_step,
        "limited_by": min(bounds, key=lambda name: bounds[name]),
        "driver_cores": held * (reports_s + updates_s),
        "shard_cores": held * shard_s,
        "reports_share": reports_s / (reports_s + updates_s),
        "fragment_bytes_per_s": held * cost("fragment_bytes", steps) / steps,
        "batch_bytes_per_s": held * samples * cost(f"{kind}_bytes", share),
        "bounds": bounds,
    }
