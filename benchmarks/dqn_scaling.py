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
from collections.abc import Callable
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
STEPS_A_RUN = 1_000  # of the loop
SIZES = ((4, 1), (16, 2))  # simulated runners, and shards
UPDATES_PER_STEP = 1 / 16  # simulated: a quarter of the usual, for which two cores suffice
REGIMES = {"runners": 0.25, "learner": 2.0}  # seconds of the updates over those of the steps
BUSY = {"runners": 1.0, "steps ahead": 1.0, "shards": 0.8, "driver": 0.8, "learner": 0.8}
LONGEST = 64  # updates a call, and steps of each environment a fragment, that are planned
PLAYED: dict[str, Any] = dict(
    game="pong", num_envs_per_env_runner=NUM_ENVS, double=False, dueling=False
)
REPLAY: dict[str, Any] = dict(capacity=20_000, frame_shape=(84, 84), n_step=3)


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
        self.steps_per_s, self.stores = math.inf, False

    def connect(self, shards: list[Any], num_streams: int) -> None:
        """As `DQNRunner`."""
        self._sender = self._make_sender(shards, num_streams)
        self._status: Any = ray.get(shards[0].status.remote())

    def push(self, num_timesteps: int, **_: Any) -> Any:
        """As `DQNRunner`; the weights come, and are not used."""
        time.sleep(num_timesteps / self.steps_per_s)
        if not self.stores:
            return self._make_report(num_steps=num_timesteps, statuses=[(0, self._status)])
        ticks = list(islice(self._ticks, num_timesteps // NUM_ENVS))
        columns = {f.name: [getattr(tick, f.name) for tick in ticks] for f in fields(Fragment)}
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        joined["stream"] = np.tile(self._streams, len(ticks))
        joined["sequence"] = (self._num_sent + np.arange(len(ticks))).repeat(NUM_ENVS)
        self._num_sent += len(ticks)
        report = self._make_report()
        self._sender.send(Fragment(**joined), report)
        return report


class ThrottledLearner:
    """Gets its batches and sleeps instead of learning; asked as a `DQNLearner`."""

    def __init__(self, weights_bytes: int) -> None:
        self._weights = np.zeros(weights_bytes, np.uint8)
        self._num_updates, self.update_s = 0, 0.0

    def learn(self, *parts: Batch, num_minibatches: int, **_: Any) -> Any:
        """As `DQNLearner`."""
        batch = Batch.join(parts, np.arange(sum(map(len, parts))))  # with an order, so it copies
        time.sleep(num_minibatches * self.update_s)
        self._num_updates += num_minibatches
        error = np.zeros(len(batch), np.float32)  # not in a Learned, whose module imports torch
        return SimpleNamespace(metrics={"loss": 0.0}, origin=batch.origin, id=batch.id, error=error)

    def weights(self) -> dict[str, np.ndarray]:
        """As many bytes as the network's."""
        return {"network": self._weights}

    def get_state(self) -> dict[str, Any]:
        """As many bytes as two networks and Adam's averages."""
        return {"num_updates": self._num_updates, "arrays": np.tile(self._weights, 4)}

    def ping(self) -> None:
        """As `DQNLearner`."""


def set_up(actors: list[Any], **values: Any) -> None:
    """Sets attributes of actors."""
    ray.get([actor.__ray_call__.remote(lambda self: vars(self).update(values)) for actor in actors])


@dataclass(frozen=True)
class Crew:
    """Throttled actors, and steps of all environments to fill shards with."""

    runners: list[Any]
    learner: Any
    ticks: list[Fragment]


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


def inside_s(actor: Any, action: Callable[[Any, Any], Any], argument: Callable[[], Any]) -> float:
    """Seconds that an action on an actor takes inside it; the argument is made for each."""

    def call(self: Any, value: Any) -> float:
        began = time.perf_counter()
        action(self, value)
        return time.perf_counter() - began

    calls = (actor.__ray_call__.remote(call, argument()) for _ in range(REPETITIONS + 3))
    samples: list[Any] = [ray.get(ref) for ref in calls]
    return statistics.median(samples[3:])


def options_of(num_runners: int, **options: Any) -> DQNOptions:
    """Options of a run with so many runners and a learner."""
    return DQNOptions(**PLAYED, num_env_runners=num_runners, num_learners=1, **options)


def make(cls: Any, *arguments: Any, **named: Any) -> Any:
    """An actor that takes next to nothing of the cluster, once it is there."""
    actor = ray.remote(num_cpus=0.01)(cls).remote(*arguments, **named)
    ray.get(actor.__ray_ready__.remote())
    return actor


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
    exponent = 0.5 if kind == "prioritized" else None
    shard = make(ReplayShard, REPLAY | {"priority_exponent": exponent})
    _, pid = ray.get(shard.place.remote())

    def fragments(num_steps: int) -> dict[str, float]:
        played = [play(runner, num_steps) for _ in range(REPETITIONS)]
        turn = cycle(fragment for fragment, _ in played)
        add_s, cpu = median_s(lambda: ray.get(shard.add.remote(ray.put(next(turn)))), pid)
        return {
            "fragment_encode_s": statistics.median(encode_s for _, encode_s in played),
            "fragment_put_add_s": add_s,
            "fragment_value_add_s": median_s(lambda: ray.get(shard.add.remote(next(turn))))[0],
            "fragment_inside_s": inside_s(shard, lambda s, f: s.add(f), lambda: next(turn)),
            "fragment_cpu_s": cpu,
            "fragment_bytes": statistics.median(fragment.nbytes for fragment, _ in played),
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


def run(options: DQNOptions, crew: Crew, seconds: float) -> dict[str, float]:
    """What the real loop does a second, over new shards that hold the ticks.

    Too few runners are asked under several numbers.
    """
    rng, num_streams = np.random.default_rng(0), options.num_streams
    named: dict[str, Any] = dict(num_streams=num_streams, seed=0, num_cpus=0.01, rng=rng)
    uniform = REPLAY | {"priority_exponent": None}
    replay = ShardedReplay(options.num_replay_shards, uniform, **named)
    ray.get([shard.add.remote(tick) for shard in replay.shards for tick in crew.ticks])
    replay.settle()
    numbered = dict(enumerate(islice(cycle(crew.runners), options.num_env_runners), 1))
    group: Any = SimpleNamespace(_worker_manager=SimpleNamespace(actors=lambda: numbered))
    learners: Any = SimpleNamespace(_workers=[crew.learner])
    acting = LearnerActors(learners, lambda: learners, 500, lambda _: None)
    loop = Distributed(options, RunnerActors(group), acting, replay, seed=0)
    loop.run(STEPS_A_RUN)
    pids = [pid for _, pid in ray.get([shard.place.remote() for shard in replay.shards])]

    def state() -> np.ndarray:
        with open("/proc/stat") as file:
            idle_s = sum(map(int, file.readline().split()[4:6])) / os.sysconf("SC_CLK_TCK")
        used_s = cpu_s(0), sum(map(cpu_s, pids)), idle_s
        return np.array([time.perf_counter(), loop.num_env_steps, loop.num_updates, *used_s])

    before = state()
    while time.perf_counter() < before[0] + seconds:
        loop.run(STEPS_A_RUN)
    elapsed_s, *past = (state() - before).tolist()
    loop.settle()
    loop.stop()
    names = ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores", "idle_cores")
    return {name: value / elapsed_s for name, value in zip(names, past, strict=True)}


def driver_costs(crew: Crew, seconds: float) -> dict[str, Line]:
    """CPU of the driver while nothing else takes long."""

    def report(num_runners: int) -> dict[str, float]:
        options = options_of(num_runners, learning_starts=1_000_000)
        rates = run(options, crew, seconds)
        steps = options.fragment_length * NUM_ENVS
        return {"report_cpu_s": rates["driver_cores"] / rates["steps_per_s"] * steps}

    reports = lines(RUNNERS, report)

    def update(num_shards: int) -> dict[str, float]:
        named = dict(num_replay_shards=num_shards, learning_starts=500, weights_period=1_000_000)
        options = options_of(RUNNERS[0], **named)
        rates = run(options, crew, seconds)
        reports_per_s = rates["steps_per_s"] / options.fragment_length / NUM_ENVS
        rest = rates["driver_cores"] - reports_per_s * reports["report_cpu_s"].at(RUNNERS[0])
        return {"update_cpu_s": rest / rates["updates_per_s"] * options.updates_per_call}

    return reports | lines(SHARDS, update)


def measure_costs(seconds: float) -> tuple[dict[str, Line], Crew]:
    """All costs by name, and who simulates."""
    config: Any = DQNConfig.preset("fast", **PLAYED).debugging(seed=0)
    runner = DQNRunner(config=config, worker_index=1)
    ticks = [play(runner, NUM_ENVS)[0] for _ in range(NUM_TICKS)]
    held = ray.put(ticks)
    runners = [make(ThrottledRunner, i + 1, held) for i in range(SIZES[-1][0])]
    network = config.build_learner(spaces=runner.get_spaces())
    weights_bytes = sum(value.nbytes for value in network.weights().values())
    learner, player = make(ThrottledLearner, weights_bytes), make(DQNRunner, config=config)
    sent = {"rl_module": ray.put(network.weights())}
    once = {
        "weights_bytes": weights_bytes,
        "weights_give_s": median_s(network.weights)[0],
        "weights_load_s": inside_s(player, lambda r, state: r.set_state(state), lambda: sent),
        "weights_cpu_s": median_s(lambda: is_whole(learner.weights.remote()))[1],
        "call_s": median_s(lambda: ray.get(learner.ping.remote()))[0],
    }
    ray.kill(player)
    costs = {name: Line((0, 1), (cost, cost)) for name, cost in once.items()}
    for kind in ("prioritized", "uniform"):
        costs |= shard_costs(runner, learner, kind)
    runner.stop()
    crew = Crew(runners, learner, ticks)
    return costs | driver_costs(crew, seconds), crew


def predict(
    options: DQNOptions, costs: dict[str, Line], steps_per_s: float, row_s: float
) -> dict[str, Any]:
    """What a run holds, as long as no two parts share a core.

    Args:
        options: Of the run, with actors that learn.
        costs: As measured.
        steps_per_s: Of a runner that does nothing but play.
        row_s: Seconds that a learner takes for each transition it learns from.

    Returns:
        Rates a second, cores used, bytes that travel a second, `limited_by`, and, as `bounds`, the
        steps a second that each part would hold.
    """

    def cost(name: str, number: float = 0) -> float:
        return costs[name].at(number)

    kind = "prioritized" if options.prioritized else "uniform"
    num_runners, num_shards = options.num_env_runners, options.num_replay_shards
    num_learners, per_step = options.num_learners, options.updates_per_step
    steps = options.fragment_length * options.num_envs_per_env_runner
    rows = options.updates_per_call * options.batch_size // num_learners  # of one learner in a call
    asked = num_shards * (1 - (1 - 1 / num_shards) ** rows)  # shards that give it some
    share = rows / asked
    # For each step:
    calls, broadcasts = per_step / options.updates_per_call, per_step / options.weights_period
    samples = calls * num_learners * asked
    sample_s = cost(f"{kind}_cpu_s", share)
    if options.prioritized:
        sample_s += cost(f"{kind}_priorities_cpu_s", share)
    shard_s = cost("fragment_cpu_s", steps) / steps + samples * sample_s
    reports_s = cost("report_cpu_s", num_runners) / steps
    updates_s = calls * cost("update_cpu_s", num_learners * asked)
    driver_s = reports_s + updates_s + broadcasts * cost("weights_cpu_s")
    # For each fragment, and for each call:
    push_s = steps / steps_per_s + cost("weights_load_s")
    push_s += cost("fragment_encode_s", steps) + cost("fragment_put_add_s", steps)
    learn_s = rows * row_s + cost(f"{kind}_fetch_s", rows)
    # Steps are ahead until their updates are made, and a few of them wait for the next call's.
    ahead_s = push_s + cost(f"{kind}_draw_s", share) + learn_s + 3 * cost("call_s")
    waiting = (options.updates_per_call - 1) / 2 / per_step + steps / 2
    steps_ahead = max(MAX_STEPS_AHEAD, num_runners * steps)
    bounds = {
        "runners": num_runners * steps / push_s,
        "steps ahead": (steps_ahead - waiting) / ahead_s,
        "shards": num_shards / shard_s,
        "driver": 1 / driver_s,
        "learner": 1 / (calls * learn_s + broadcasts * cost("weights_give_s")),
    }
    held = min(bounds.values())
    return {
        "steps_per_s": held,
        "updates_per_s": held * per_step,
        "limited_by": min(bounds, key=lambda name: bounds[name]),
        "driver_cores": held * driver_s,
        "reports_cores": held * reports_s,
        "shard_cores": held * shard_s,
        "steps_ahead": steps_ahead,
        "fragment_bytes_per_s": held * cost("fragment_bytes", steps) / steps,
        "batch_bytes_per_s": held * samples * cost(f"{kind}_bytes", share),
        "bounds": bounds,
    }


def size(
    options: DQNOptions, costs: dict[str, Line], steps_per_s: float, row_s: float, *given: str
) -> DQNOptions:
    """Adds what is short until it serves the parts that are given, as far as one driver can.

    A second learner gets twice the minibatch, half as often: as many transitions a step.
    """
    while True:
        held = predict(options, costs, steps_per_s, row_s)
        bounds, share = held["bounds"], held["reports_cores"] / held["driver_cores"]
        length, calls = options.fragment_length, options.updates_per_call
        room = {name: bounds[name] * busy for name, busy in BUSY.items() if name not in given}
        short = min(room, key=lambda name: room[name])
        if room[short] >= min(bounds[name] for name in given):
            return options
        if short == "shards":
            more: dict[str, Any] = dict(num_replay_shards=options.num_replay_shards + 1)
        elif short == "learner":
            more = dict(num_learners=2 * options.num_learners, batch_size=2 * options.batch_size)
            more["updates_per_step"] = options.updates_per_step / 2
        elif short != "driver":
            more = dict(num_env_runners=options.num_env_runners + 1)
        elif length < LONGEST and share > 0.5:
            more = dict(rollout_fragment_length=2 * length)
        elif calls < LONGEST and 4 * calls / options.updates_per_step < held["steps_ahead"]:
            more = dict(updates_per_call=2 * calls)
        else:
            return options
        options = replace(options, **more)


def simulate(
    costs: dict[str, Line], crew: Crew, steps_per_s: float, seconds: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """By size and regime, what was predicted and what was measured."""
    skipped = {name: Line((0, 1), (0, 0)) for name in ("fragment_encode_s", "weights_load_s")}
    found: dict[str, Any] = {}
    set_up(crew.runners, steps_per_s=steps_per_s, stores=True)
    for num_runners, num_shards in SIZES:
        named: dict[str, Any] = dict(num_replay_shards=num_shards, learning_starts=1_000)
        options = options_of(num_runners, updates_per_step=UPDATES_PER_STEP, **named)
        for regime, share in REGIMES.items():
            update_s = share / (num_runners * steps_per_s * UPDATES_PER_STEP)
            set_up([crew.learner], update_s=update_s)
            row_s = update_s / options.batch_size
            found[f"{num_runners} runners, {regime} limit"] = {
                "predicted": predict(options, costs | skipped, steps_per_s, row_s),
                "measured": run(options, crew, seconds),
            }
    return found


def main() -> None:
    """Measures, predicts, simulates, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=10, help="of each simulation (default: 10)")
    add("--steps-per-s", type=float, default=200, help="ASSUMED of a runner (default: 200)")
    what = "ASSUMED of a learner with minibatches of 32, as of an H100 (default: 2000)"
    add("--updates-per-s", type=float, default=2_000, help=what)
    add("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    rate, row_s = arguments.steps_per_s, 1 / arguments.updates_per_s / 32

    where = machine() | {"ray": ray.__version__}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    cluster.connect(num_cpus=16)
    costs, crew = measure_costs(arguments.seconds / 2)
    print(f"\nmedians of {REPETITIONS}; CPU of whole processes\n{'cost':<28}   number of")
    for name, line in costs.items():
        unit, scale = ("kB", 1e-3) if name.endswith("bytes") else ("ms", 1e3)
        points = zip(line.numbers, line.costs, strict=True)
        print(
            f"{name:<28}", *(f"{number:5} {cost * scale:10.3f} {unit}" for number, cost in points)
        )

    runs = {"1 runner": options_of(1), "16 runners": options_of(16)}
    for number in (16, 64, 256, 1_000):
        sized = size(options_of(number), costs, rate, row_s, "runners", "steps ahead")
        runs[f"{number} runners served"] = sized
    runs["1 learner fed"] = size(options_of(1), costs, rate, row_s, "learner")
    print(
        f"\npredicted, ASSUMED: a runner takes {rate:g} steps/s, a learner makes "
        f"{arguments.updates_per_s:g} updates/s of 32\n{'':<20}runners shards learners batch "
        "a call frag. | steps/s updates/s limited by  driver shards MB/s: frag.  batch"
    )
    names = ("num_env_runners", "num_replay_shards", "num_learners", "batch_size")
    names += ("updates_per_call", "fragment_length")
    predictions = {}
    for name, options in runs.items():
        held = predict(options, costs, rate, row_s)
        shape = {key: getattr(options, key) for key in names}
        predictions[name] = shape | held
        print(
            f"{name:<20}"
            + "{:7} {:6} {:8} {:5} {:6} {:5} | ".format(*shape.values())
            + f"{held['steps_per_s']:7.0f} {held['updates_per_s']:9.0f} {held['limited_by']:<11} "
            f"{held['driver_cores']:6.2f} {held['shard_cores']:6.2f} "
            f"{held['fragment_bytes_per_s'] / 1e6:11.1f} {held['batch_bytes_per_s'] / 1e6:6.0f}"
        )

    simulation = simulate(costs, crew, rate, arguments.seconds)
    ray.shutdown()
    ratios = {}
    print(f"\n{'simulated':<26} {'':<14} predicted  measured  ratio")
    for name, both in simulation.items():
        for key in ("steps_per_s", "updates_per_s", "driver_cores", "shard_cores"):
            predicted, measured = both["predicted"][key], both["measured"][key]
            ratios[f"{name}/{key}"] = measured / predicted
            print(
                f"{name:<26} {key:<14} {predicted:9.2f} {measured:9.2f} {measured / predicted:6.2f}"
            )
        print(f"{'':<26} {'idle_cores':<24} {both['measured']['idle_cores']:9.2f}")
    if arguments.json:
        measured = {name: asdict(line) for name, line in costs.items()}
        report = {"machine": where, "costs": measured, "predictions": predictions}
        print(json.dumps(report | {"simulation": simulation, "ratios": ratios}))


if __name__ == "__main__":
    main()
