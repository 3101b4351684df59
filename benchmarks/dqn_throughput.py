"""DQN's throughput beside RLlib's, Stable-Baselines3's and a plain loop, in one run.

Who is measured, and on what, stands in `benchmarks.dqn_contenders`. Each is a process of its own,
once with one thread and once with two. They are warmed up one after another, then work in turns,
all processes of the others stopped, for `--rounds` rounds of `--seconds`; a contender counts by its
better number of threads, the median over the rounds. Memory is the proportional share (PSS) of all
processes of a contender, Ray's included, at the end. h-DQN with both levels learning is measured
against DQN on the same game, backend, network and ratio. At last `benchmarks.dqn_profile` says
where the time of the plain loop goes and where that of arcadia.

    make bench-dqn ARGS="--json"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil  # pyright: ignore[reportMissingModuleSource, reportMissingImports]

from benchmarks import dqn_profile

MAIN = ("plain_loop", "rllib_dqn", "sb3_dqn", "arcadia", "arcadia_actors")
VARIANTS = ("compile", "channels_last", "bf16")
ACTING = ("bare_acting", "arcadia_acting")
HIERARCHY = ("montezuma_dqn", "montezuma_hdqn")
PEERS = ("plain_loop", "rllib_dqn", "sb3_dqn")
_SETTLE_S = 1.0  # for Ray, after it was stopped
GOALS = {"plain_loop": 1.1, "rllib_dqn": 3.0, "sb3_dqn": 2.5, "acting": 0.9, "montezuma_dqn": 0.75}


@dataclass
class Child:
    """A contender's process."""

    name: str
    threads: int
    process: subprocess.Popen[str]
    steps_per_s: list[float] = field(default_factory=list)
    updates_per_s: list[float] = field(default_factory=list)
    pss_bytes: int = 0

    @classmethod
    def start(cls, name: str, threads: int, warm_up_s: float) -> Child:
        """Starts it, and waits until it is warm."""
        command = [sys.executable, "-m", "benchmarks.dqn_contenders", name]
        command += ["--threads", str(threads), "--warm-up-s", str(warm_up_s)]
        # Not OMP_NUM_THREADS: Ray hands it down to actors, which have a thread each without it.
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        environment["RAY_LOG_TO_DRIVER"] = "0"
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        child = cls(name, threads, process)
        if not child.answer().get("ready"):
            raise RuntimeError(f"{name}: did not become ready")
        child.signal(signal.SIGSTOP)
        return child

    def signal(self, number: int) -> None:
        """Sends a signal to all its processes, Ray's among them."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def processes(self) -> list[psutil.Process]:
        """It, and all that it started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def answer(self) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.name} with {self.threads} threads ended with {self.process.wait()}; run "
                f"python -m benchmarks.dqn_contenders {self.name} to see why"
            )
        return json.loads(line)

    def work(self, seconds: float) -> None:
        """Has it work alone."""
        assert self.process.stdin is not None
        self.signal(signal.SIGCONT)
        time.sleep(_SETTLE_S)
        print(seconds, file=self.process.stdin, flush=True)
        told = self.answer()
        self.signal(signal.SIGSTOP)
        self.steps_per_s.append(told["steps"] / told["seconds"])
        self.updates_per_s.append(told["updates"] / told["seconds"])

    def weigh(self) -> None:
        """Takes the memory of all its processes."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it ended meanwhile
                continue
        self.pss_bytes = total

    def end(self) -> None:
        """Ends it."""
        assert self.process.stdin is not None
        self.signal(signal.SIGCONT)
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def result(self) -> dict[str, Any]:
        """Medians over the rounds."""
        return {
            "threads": self.threads,
            "steps_per_s": statistics.median(self.steps_per_s),
            "updates_per_s": statistics.median(self.updates_per_s),
            "pss_bytes": self.pss_bytes,
            "rounds": self.steps_per_s,
        }


def measure(
    names: list[str], *, rounds: int, seconds: float, warm_up_s: float
) -> dict[str, dict[str, Any]]:
    """Has contenders work in turns.

    Returns:
        Of each, what its better number of threads came to, and as `other` the other one.
    """
    children: list[Child] = []
    try:
        for name in names:
            for threads in (1, 2):
                print(f"starting {name}, {threads} threads", file=sys.stderr, flush=True)
                children.append(Child.start(name, threads, warm_up_s))
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
            for child in children:
                child.work(seconds)
        for child in children:
            child.weigh()
    finally:
        for child in children:
            child.end()
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        own = sorted(
            (child.result() for child in children if child.name == name),
            key=lambda result: result["steps_per_s"],
        )
        results[name] = own[-1] | {"other": own[0]}
    return results


def ratio(results: dict[str, dict[str, Any]], ours: str, theirs: str) -> float:
    """Ours over theirs: the median over the rounds, each of which measured both."""
    pairs = zip(results[ours]["rounds"], results[theirs]["rounds"], strict=True)
    return statistics.median(a / b for a, b in pairs)


def ratios_of(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """By what was measured against: the better of one process and actors, and the variants."""
    ratios: dict[str, float] = {}
    for peer in PEERS:
        if peer in results:
            ours = [name for name in ("arcadia", "arcadia_actors") if name in results]
            ratios[peer] = max(ratio(results, name, peer) for name in ours)
    for variant in VARIANTS:
        if f"arcadia_{variant}" in results:
            ratios[f"plain_loop_{variant}"] = ratio(
                results, f"arcadia_{variant}", f"plain_loop_{variant}"
            )
    if ACTING[0] in results:
        ratios["acting"] = ratio(results, "arcadia_acting", "bare_acting")
    if HIERARCHY[0] in results:
        ratios["montezuma_dqn"] = ratio(results, "montezuma_hdqn", "montezuma_dqn")
    return ratios


def machine() -> dict[str, str | int]:
    """Processor, cores and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = ("torch", "ray", "ale-py", "stable-baselines3", "numpy")
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def show(results: dict[str, dict[str, Any]]) -> None:
    """Prints the table."""
    print(f"{'':<26} {'threads':>7} {'steps/s':>8} {'updates/s':>9} {'memory GB':>9}  rounds")
    for name, result in results.items():
        rounds = " ".join(f"{value:.0f}" for value in result["rounds"])
        print(
            f"{name:<26} {result['threads']:7} {result['steps_per_s']:8.1f} "
            f"{result['updates_per_s']:9.1f} {result['pss_bytes'] / 1e9:9.2f}  {rounds}"
            f"   ({result['other']['threads']} threads: {result['other']['steps_per_s']:.1f})",
            flush=True,
        )


def profiles() -> dict[int, dict[str, dict[str, Any]]]:
    """Where the time goes, with one thread and with two."""
    found = {}
    for threads in (1, 2):
        print(f"profiling, {threads} threads", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.dqn_profile", "--json"]
        told = subprocess.run(
            [*command, "--threads", str(threads)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        )
        found[threads] = json.loads(told.stdout)
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=13.0, help="of a turn (default: 13)")
    parser.add_argument("--warm-up-s", type=float, default=15.0, help="default: 15")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=("main", "variants", "acting", "hierarchy", "profile"),
        help="parts (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    where = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(
        f"{options.rounds} turns of {options.seconds:g} s each; medians; the better number of "
        "threads counts\n"
    )
    started, results = time.monotonic(), {}
    groups = {
        "main": list(MAIN),
        "variants": [f"{who}_{v}" for v in VARIANTS for who in ("plain_loop", "arcadia")],
        "acting": list(ACTING),
        "hierarchy": list(HIERARCHY),
    }
    for part, names in groups.items():
        if options.only and part not in options.only:
            continue
        measured = measure(
            names,
            rounds=options.rounds,
            seconds=options.seconds,
            warm_up_s=options.warm_up_s,
        )
        show(measured)
        print()
        results |= measured
    profiled = profiles() if not options.only or "profile" in options.only else {}
    for threads, found in profiled.items():
        dqn_profile.show(found, threads)
        print()
    ratios = ratios_of(results)
    for name, value in ratios.items():
        goal = f"   (goal {GOALS[name]:g})" if name in GOALS else ""
        print(f"arcadia over {name:<26} {value:5.2f}{goal}")
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes")
    if options.json:
        told = {"machine": where, "contenders": results, "ratios": ratios, "profile": profiled}
        print(json.dumps(told))


if __name__ == "__main__":
    main()
