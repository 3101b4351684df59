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
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import cycle, islice, product
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
STEPS, ROWS = (16, 64, 512), (8, 64, 512)  # of fragments and batches that are measured
RUNNERS, SHARDS = (16, 1_000), (1, 4)  # that the driver looks after, and draws a batch from
REPETITIONS = 40
NUM_TICKS = 400  # that throttled runners send again and again; no game of Pong ends that soon
STEPS_A_RUN = 1_000  # of the loop
SIZES = ((4, 1), (16, 2))  # runners and shards simulated
SIMULATED_RATIO = 1 / 64  # of updates to steps: far below the usual, so that two cores suffice
REGIMES = {"runners": 0.25, "learner": 2.0}  # seconds of the updates over those of the steps
MANY_SHARDS, MANY_UPDATES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64), (2, 4, 8, 16, 32)  # a call; tried
MODELLED = ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores")
PLAYED: Any = dict(game="pong", num_envs_per_env_runner=NUM_ENVS, double=False, dueling=False)
REPLAY: Any = dict(capacity=20_000, frame_shape=(84, 84), n_step=3, priority_exponent=None)


class ThrottledRunner:
    """Takes steps at a set rate by sleeping, and sends recorded ones; asked as a `DQNRunner`.

    Args:
        number: From 1, on which its streams hang.
        ticks: Recorded steps of all environments, from the start of their episodes.
    """

    steps_per_s, stores = math.inf, False

    def __init__(self, number: int, ticks: list[Fragment]) -> None:
        # An annotation is all that is taken from there, which would bring RLlib and torch along.
        sys.modules["algorithms.dqn.episodes"] = SimpleNamespace(Episode=None)  # type: ignore
        from algorithms.dqn import pushing

        self._pushing, self._ticks, self._num_sent = pushing, cycle(ticks), 0
        self._streams = (number - 1) * NUM_ENVS + np.arange(NUM_ENVS)

    def connect(self, shards: list[Any], num_streams: int) -> None:
        """As `DQNRunner`."""
        self._sender = self._pushing.FragmentSender(shards, num_streams)
        self._status: Any = ray.get(shards[0].status.remote())

    def push(self, num_timesteps: int, **_: Any) -> Any:
        """As `DQNRunner`; the weights come, and are not used."""
        time.sleep(num_timesteps / self.steps_per_s)
        if not self.stores:
            return self._pushing.Report(num_steps=num_timesteps, statuses=[(0, self._status)])
        ticks = list(islice(self._ticks, num_timesteps // NUM_ENVS))
        columns = {f.name: [getattr(tick, f.name) for tick in ticks] for f in fields(Fragment)}
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        joined["stream"] = np.tile(self._streams, len(ticks))
        joined["sequence"] = (self._num_sent + np.arange(len(ticks))).repeat(NUM_ENVS)
        self._num_sent += len(ticks)
        report = self._pushing.Report()
        self._sender.send(Fragment(**joined), report)
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

    def weights(self) -> dict[str, np.ndarray]:
        """As many bytes as the network's."""
        return {"network": self._weights}

    def get_state(self) -> dict[str, Any]:
        """As many bytes as two networks and Adam's averages."""
        return {"num_updates": self.num_updates, "arrays": np.tile(self._weights, 4)}

    def apply(self, function: Callable[..., Any]) -> Any:
        """As RLlib's actors."""
        return function(self)


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
    ray.get([actor.__ray_call__.remote(lambda self: vars(self).update(values)) for actor in actors])


def options_of(num_runners: int, **options: Any) -> DQNOptions:
    """Options of a run with so many runners and, unless it is said, a learner."""
    return DQNOptions(**(PLAYED | dict(num_env_runners=num_runners, num_learners=1) | options))


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
        add_s, add_cpu = median_s(lambda: ray.get(shard.add.remote(ray.put(next(turn)))), pid)
        return {
            "fragment_put_add_s": add_s,
            "fragment_value_add_s": median_s(lambda: ray.get(shard.add.remote(next(turn))))[0],
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
    named: Any = dict(num_streams=num_streams, seed=0, num_cpus=0.01, rng=rng)
    replay = ShardedReplay(options.num_replay_shards, REPLAY, **named)
    numbered = dict(enumerate(islice(cycle(runners), options.num_env_runners), 1))
    group: Any = SimpleNamespace(_worker_manager=SimpleNamespace(actors=lambda: numbered))
    learners: Any = SimpleNamespace(_workers=[learner])
    acting = LearnerActors(learners, lambda: learners, 500, lambda _: None)
    loop = Distributed(options, RunnerActors(group), acting, replay, seed=0)
    pids = [pid for _, pid in ray.get([shard.place.remote() for shard in replay.shards])]

    def state() -> np.ndarray:
        with open("/proc/stat") as file:
            idle_s = sum(map(int, file.readline().split()[4:6])) / os.sysconf("SC_CLK_TCK")
        used_s = cpu_s(0), sum(map(cpu_s, pids)), idle_s
        return np.array([time.perf_counter(), loop.num_env_steps, loop.num_updates, *used_s])

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
    weights = network.weights()
    weights_bytes = sum(value.nbytes for value in weights.values())
    learner, player = make(ThrottledLearner, weights_bytes), make(DQNRunner, config=config)
    sent = {"rl_module": ray.put(weights)}
    for kind in ("prioritized", "uniform"):
        costs |= shard_costs(played, kind, learner)
    once = {
        "weights_bytes": weights_bytes,
        "weights_give_s": median_s(network.weights)[0],
        "weights_load_s": inside_s(player, lambda r, state: r.set_state(state), lambda: sent),
        "weights_cpu_s": median_s(lambda: is_whole(learner.weights.remote()))[1],
        "call_s": median_s(lambda: ray.get(learner.__ray_ready__.remote()))[0],
    }
    ray.kill(player)
    costs |= {name: Line((1, 2), (cost, cost)) for name, cost in once.items()}
    runners = (make(ThrottledRunner, i + 1, ticks) for i in range(SIZES[-1][0]))
    actors = (*runners, learner)
    return costs | driver_costs(actors, seconds), actors


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
    samples = calls * options.num_learners * asked
    sample_s = costs[f"{kind}_cpu_s"].at(share)
    sample_s += options.prioritized * costs[f"{kind}_priorities_cpu_s"].at(share)
    shard_s = costs["fragment_cpu_s"].at(steps) / steps + samples * sample_s
    driver_s = costs["report_cpu_s"].at(options.num_env_runners) / steps
    driver_s += calls * costs["update_cpu_s"].at(options.num_learners * asked)
    driver_s += broadcasts * costs["weights_cpu_s"].at(1)
    call_s = costs["call_s"].at(1)  # also what an actor needs from one call to the next
    push_s = steps / steps_per_s + costs["weights_load_s"].at(1) + call_s
    push_s += costs["fragment_encode_s"].at(steps) + costs["fragment_put_add_s"].at(steps)
    learn_s = rows * row_s + costs[f"{kind}_fetch_s"].at(rows) + call_s
    # Steps are ahead until their updates are made; those of less than a call wait for others.
    ahead_s = push_s + costs[f"{kind}_draw_s"].at(share) + learn_s + 3 * call_s
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
        "batch_bytes_per_s": held * samples * costs[f"{kind}_bytes"].at(share),
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
