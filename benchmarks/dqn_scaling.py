# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""What the parts of a distributed DQN cost, what size of run follows, and whether it does.

1. Costs: fragments, batches, weights and the driver's loop, each through real Ray actors on this
   machine, with a random player's Pong (8 environments, grey 84x84, stacks of 4, 3 steps).
2. Model: `predict` says from them what a run holds and which part limits it, where no two parts
   share a core. Of a network it only counts the bytes that would travel.
3. Simulation: the real loop, shards and Ray calls, but runners and a learner that sleep instead of
   computing, at two sizes, limited by the runners and by the learner.

The rates of a learner (--updates-per-s) and of runners (--steps-per-s) are ASSUMED, not measured.

    python -m benchmarks.dqn_scaling --json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, fields
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
from algorithms.dqn.levels import RemoteLevel
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.runner_actors import RunnerActors
from algorithms.replay import Batch, Fragment
from algorithms.replay.shard import ReplayShard
from algorithms.replay.sharded import ShardedReplay
from benchmarks.actor_costs import REPETITIONS, cpu_s, inside_s, make, median_s, set_up
from benchmarks.dqn_scaling_model import (
    NUM_ENVS,
    PLAYED,
    Line,
    best,
    lines,
    options_of,
    predict,
    show,
)
from benchmarks.replay import machine

LEVEL = "default_policy"
STEPS, ROWS = (16, 64, 512), (8, 64, 512)  # of fragments and batches that are measured
RUNNERS, SHARDS = (16, 1_000), (1, 4)  # that the driver looks after, and draws a batch from
NUM_TICKS = 400  # that throttled runners send again and again; no game of Pong ends that soon
STEPS_A_RUN = 1_000  # of the loop
SIZES = ((4, 1), (16, 2))  # runners and shards simulated
SIMULATED_RATIO = 1 / 64  # of updates to steps: far below the usual, so that two cores suffice
REGIMES = {"runners": 0.25, "learner": 2.0}  # seconds of the updates over those of the steps
MODELLED = ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores")
REPLAY: Any = dict(capacity=20_000, frame_shape=(84, 84), n_step=3, priority_exponent=None)


class ThrottledRunner:
    """Takes steps at a set rate by sleeping, and sends recorded ones; asked as a `DQNRunner`.

    Args:
        number: From 1, on which its streams hang.
        ticks: Recorded steps of all environments, from the start of their episodes.
    """

    steps_per_s, stores = math.inf, False

    def __init__(self, number: int, ticks: list[Fragment]) -> None:
        from algorithms.dqn import pushing

        self._pushing, self._ticks, self._num_sent = pushing, cycle(ticks), 0
        self._streams = (number - 1) * NUM_ENVS + np.arange(NUM_ENVS)

    def connect(self, shards: dict[str, list[Any]], num_streams: int) -> None:
        """As `DQNRunner`."""
        self._sender = self._pushing.FragmentSender(shards, num_streams)
        self._status: Any = ray.get(shards[LEVEL][0].status.remote())

    def push(self, num_timesteps: int, **_: Any) -> Any:
        """As `DQNRunner`; the weights come, and are not used."""
        time.sleep(num_timesteps / self.steps_per_s)
        if not self.stores:
            statuses = [(LEVEL, 0, self._status)]
            return self._pushing.Report(num_steps=num_timesteps, statuses=statuses)
        ticks = list(islice(self._ticks, num_timesteps // NUM_ENVS))
        columns = {f.name: [getattr(tick, f.name) for tick in ticks] for f in fields(Fragment)}
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        joined["stream"] = np.tile(self._streams, len(ticks))
        joined["sequence"] = (self._num_sent + np.arange(len(ticks))).repeat(NUM_ENVS)
        self._num_sent += len(ticks)
        report = self._pushing.Report()
        self._sender.send({LEVEL: Fragment(**joined)}, report)
        return report


class ThrottledLearner:
    """Gets its batches and sleeps instead of learning; asked as a `DQNLearner`."""

    update_s, num_updates = 0.0, 0

    def __init__(self, weights_bytes: int) -> None:
        self._weights = np.zeros(weights_bytes, np.uint8)

    def learn(self, *parts: Batch, num_minibatches: int, **_: Any) -> Any:
        """As `DQNLearner`, but not a `Learned`, whose module imports torch."""
        batch = Batch.join(parts, np.arange(sum(map(len, parts))))  # with an order, so it copies
        time.sleep(num_minibatches * self.update_s)
        self.num_updates += num_minibatches
        error = np.zeros(len(batch), np.float32)
        return SimpleNamespace(metrics={"loss": 0.0}, origin=batch.origin, id=batch.id, error=error)

    def weights(self) -> tuple[dict[str, np.ndarray], int]:
        """As many bytes as the network's."""
        return {"network": self._weights}, self.num_updates

    def get_state(self) -> dict[str, Any]:
        """As many bytes as two networks and Adam's averages."""
        return {"num_updates": {LEVEL: self.num_updates}, "arrays": np.tile(self._weights, 4)}

    def apply(self, function: Callable[..., Any]) -> Any:
        """As RLlib's actors."""
        return function(self)


def play(runner: DQNRunner, num_steps: int) -> tuple[Fragment, float]:
    """A fragment of so many steps, and the seconds to encode it."""
    for _ in range(num_steps // NUM_ENVS):
        runner.start_step()
        runner.finish_step()
    began = time.perf_counter()
    return runner.take_fragment(), time.perf_counter() - began


def shard_costs(played: dict[int, list[Fragment]], kind: str, reader: Any) -> dict[str, Line]:
    """Of fragments, batches of a kind and priorities, with a shard of its own."""
    exponent = 0.5 if kind == "prioritized" else None
    shard = make(ReplayShard, REPLAY | {"priority_exponent": exponent})
    _, pid = ray.get(shard.place.remote())

    def fragments(num_steps: int) -> dict[str, float]:
        turn = cycle(played[num_steps])
        add_s, add_cpu = median_s(lambda: ray.get(shard.add.remote(next(turn))), pid)
        return {
            "fragment_add_s": add_s,
            "fragment_inside_s": inside_s(shard, lambda s, f: s.add(f), lambda: next(turn)),
            "fragment_cpu_s": add_cpu,
        }

    def batches(num_rows: int) -> dict[str, float]:
        def draw() -> ray.ObjectRef:
            batch, status = shard.sample.options(num_returns=2).remote(num_rows)
            ray.get(status)  # as the driver does, which never gets the batch
            return batch

        def fetch(learner: Any, refs: list[ray.ObjectRef]) -> None:
            learner.learn(*ray.get(refs), num_minibatches=0)

        batch = ray.get(draw())
        told = int(batch.origin[0]), batch.id, np.ones(num_rows)
        draw_s, draw_cpu = median_s(draw, pid)
        tell_s, tell_cpu = median_s(lambda: ray.get(shard.update_priorities.remote(*told)), pid)
        return {
            f"{kind}_draw_s": draw_s,
            f"{kind}_inside_s": inside_s(shard, lambda s, n: s.sample(n), lambda: num_rows),
            f"{kind}_cpu_s": draw_cpu,
            f"{kind}_fetch_s": inside_s(reader, fetch, lambda: [draw()]),
            f"{kind}_bytes": sum(getattr(batch, field.name).nbytes for field in fields(Batch)),
            f"{kind}_priorities_s": tell_s,
            f"{kind}_priorities_cpu_s": tell_cpu,
        }

    costs = lines(STEPS, fragments) | lines(ROWS, batches)
    ray.kill(shard)
    return costs


def run(options: DQNOptions, actors: tuple[Any, ...], seconds: float) -> dict[str, float]:
    """What the real loop, with new shards, does a second.

    Too few runners are asked under several numbers.
    """
    *runners, learner = actors
    rng, num_streams = np.random.default_rng(0), options.num_streams
    named: Any = dict(num_streams=num_streams, seed=[0, 2], num_cpus=0.01, rng=rng)
    replay = ShardedReplay(options.num_replay_shards, REPLAY, **named)
    numbered = dict(enumerate(islice(cycle(runners), options.num_env_runners), 1))
    group: Any = SimpleNamespace(_worker_manager=SimpleNamespace(actors=lambda: numbered))
    learners: Any = SimpleNamespace(_workers=[learner])
    acting = LearnerActors(learners, lambda: learners, 500, lambda _: None)
    levels = {LEVEL: RemoteLevel(LEVEL, options, replay)}
    loop = Distributed(options, RunnerActors(group), acting, levels, seed=0)
    pids = [pid for _, pid in ray.get([shard.place.remote() for shard in replay.shards])]

    def state() -> np.ndarray:
        with open("/proc/stat") as file:
            idle_s = sum(map(int, file.readline().split()[4:6])) / os.sysconf("SC_CLK_TCK")
        used_s = cpu_s(0), sum(map(cpu_s, pids)), idle_s
        num_updates = acting.num_updates[LEVEL]
        return np.array([time.perf_counter(), loop.num_env_steps, num_updates, *used_s])

    loop.run(2 * STEPS_A_RUN)  # learning has begun
    before = state()
    while time.perf_counter() < before[0] + seconds:
        loop.run(STEPS_A_RUN)
    elapsed_s, *past = (state() - before).tolist()
    loop.settle()
    loop.stop()
    names = ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores", "idle_cores")
    return {name: value / elapsed_s for name, value in zip(names, past, strict=True)}


def driver_costs(actors: tuple[Any, ...], seconds: float) -> dict[str, Line]:
    """CPU of the driver while nobody sleeps, as it is when it has most to do."""

    def report(num_runners: int) -> dict[str, float]:
        options = options_of(num_runners, learning_starts=1_000_000)
        rates = run(options, actors, seconds)
        steps = options.fragment_length * NUM_ENVS
        return {"report_cpu_s": rates["driver_cores"] / rates["steps_per_s"] * steps}

    def update(num_shards: int) -> dict[str, float]:
        named: Any = dict(num_replay_shards=num_shards, weights_period=1_000_000)
        options = options_of(RUNNERS[0], learning_starts=1_000, **named)
        rates = run(options, actors, seconds)
        reports_per_s = rates["steps_per_s"] / options.fragment_length / NUM_ENVS
        rest = rates["driver_cores"] - reports_per_s * reports["report_cpu_s"].at(RUNNERS[0])
        return {"update_cpu_s": rest / rates["updates_per_s"] * options.updates_per_call}

    reports = lines(RUNNERS, report)
    set_up(list(actors[:-1]), stores=True)
    return reports | lines(SHARDS, update)


def measure(seconds: float) -> tuple[dict[str, Line], tuple[Any, ...]]:
    """All costs, by name, and the actors that simulate, the learner last."""
    config: Any = DQNConfig.preset("fast", **PLAYED).debugging(seed=0)
    runner = DQNRunner(config=config, worker_index=1)
    ticks = ray.put([play(runner, NUM_ENVS)[0] for _ in range(NUM_TICKS)])
    played: dict[int, list[Fragment]] = {}

    def encode(num_steps: int) -> dict[str, float]:
        turns = [play(runner, num_steps) for _ in range(REPETITIONS)]
        played[num_steps] = [fragment for fragment, _ in turns]
        nbytes = statistics.median(fragment.nbytes for fragment in played[num_steps])
        encode_s = statistics.median(took_s for _, took_s in turns)
        return {"fragment_encode_s": encode_s, "fragment_bytes": nbytes}

    costs = lines(STEPS, encode)
    network = config.build_learner(spaces=runner.get_spaces())
    weights, _ = network.weights()
    weights_bytes = sum(v.nbytes for own in weights.values() for v in own.values())
    learner, player = make(ThrottledLearner, weights_bytes), make(DQNRunner, config=config)
    sent = {"rl_module": ray.put(weights)}
    for kind in ("prioritized", "uniform"):
        costs |= shard_costs(played, kind, learner)

    def sign() -> ray.ObjectRef:
        return learner.weights.options(num_returns=2).remote()[1]

    once = {
        "weights_bytes": weights_bytes,
        "weights_give_s": median_s(network.weights)[0],
        "weights_load_s": inside_s(player, lambda r, state: r.set_state(state), lambda: sent),
        "weights_cpu_s": median_s(lambda: is_whole(sign()))[1],
        "call_s": median_s(lambda: ray.get(learner.__ray_ready__.remote()))[0],
    }
    ray.kill(player)
    costs |= {name: Line((1, 2), (cost, cost)) for name, cost in once.items()}
    runners = (make(ThrottledRunner, i + 1, ticks) for i in range(SIZES[-1][0]))
    actors = (*runners, learner)
    return costs | driver_costs(actors, seconds), actors


def simulate(
    costs: dict[str, Line], actors: tuple[Any, ...], steps_per_s: float, seconds: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """By size and regime, what was predicted and what was measured."""
    skipped = {name: Line((1, 2), (0, 0)) for name in ("fragment_encode_s", "weights_load_s")}
    found: dict[str, Any] = {}
    set_up(list(actors[:-1]), steps_per_s=steps_per_s, stores=True)
    for num_runners, num_shards in SIZES:
        named: Any = dict(num_replay_shards=num_shards, updates_per_step=SIMULATED_RATIO)
        named |= dict(rollout_fragment_length=8, learning_starts=1_000)
        options = options_of(num_runners, **named)
        for regime, share in REGIMES.items():
            update_s = share / (num_runners * steps_per_s * SIMULATED_RATIO)
            set_up([actors[-1]], update_s=update_s)
            row_s = update_s / options.batch_size
            found[f"{num_runners} runners, {regime} limit"] = {
                "predicted": predict(options, costs | skipped, steps_per_s, row_s),
                "measured": run(options, actors, seconds),
            }
    return found


def main() -> None:
    """Measures, predicts, simulates, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=8, help="of each simulation (default: 8)")
    add("--steps-per-s", type=float, default=200, help="ASSUMED of a runner (default: 200)")
    what = "ASSUMED of a learner with minibatches of 32, as of an H100 (default: 2000)"
    add("--updates-per-s", type=float, default=2_000, help=what)
    add("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    rate, updates_per_s = arguments.steps_per_s, arguments.updates_per_s

    where = machine() | {"ray": ray.__version__}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    cluster.connect(num_cpus=16)
    costs, actors = measure(arguments.seconds / 2)
    print(f"\nCosts: medians of {REPETITIONS}; CPU is that of whole processes")
    for name, line in costs.items():
        unit, scale = ("kB", 1e-3) if "bytes" in name else ("ms", 1e3)
        points = zip(line.numbers, line.costs, strict=True)
        print(f"{name:<30}", *(f"{n:6} {cost * scale:10.3f} {unit}" for n, cost in points))

    assumed, wanted = (costs, rate, 1 / updates_per_s / 32), updates_per_s * 4  # steps a second
    some = [math.ceil(share * wanted / rate) for share in (0.5, 0.75, 1, 1.25, 1.5)]
    # As many transitions a step as by default, in minibatches that 32 learners share.
    large = dict(num_learners=32, batch_size=32 * 32, updates_per_step=0.25 / 32)
    runs = {
        "a runner": options_of(1),
        "16 runners": options_of(16),
        "a learner fed": best(some, wanted, assumed),
        "1000 runners": best([1_000], 1_000 * rate, assumed, **large),
    }
    names = ("num_env_runners", "num_replay_shards", "num_learners", "batch_size")
    names += ("updates_per_step", "updates_per_call", "fragment_length")
    predictions = {
        name: {key: getattr(options, key) for key in names} | predict(options, *assumed)
        for name, options in runs.items()
    }
    title = f"Predicted; ASSUMED: {rate:g} steps/s a runner, {updates_per_s:g} updates/s a learner"
    show(title, predictions)

    simulation = simulate(costs, actors, rate, arguments.seconds)
    ray.shutdown()
    columns: dict[str, dict[str, float]] = {
        word: {
            f"{run}/{key}": both[word][key] for run, both in simulation.items() for key in MODELLED
        }
        for word in ("predicted", "measured")
    }
    predicted, measured = columns.values()
    ratios = {name: value / predicted[name] for name, value in measured.items()}
    show(f"Simulated, {arguments.seconds:g} s each", columns | {"ratio": ratios})
    idle = {name: both["measured"]["idle_cores"] for name, both in simulation.items()}
    show("Idle cores meanwhile; where there is none, the machine was the limit", {"": idle})
    if arguments.json:
        measured_costs = {name: asdict(line) for name, line in costs.items()}
        report = {"machine": where, "costs": measured_costs, "predictions": predictions}
        print(json.dumps(report | {"simulation": simulation, "ratios": ratios}))


if __name__ == "__main__":
    main()
