"""The two Atari backends side by side, on one core: h-DQN's, whose memory can be read, and DQN's.

Both play the same games, as many at once, at random, through `send` and `recv` with the agent's
preprocessing; the native one has one emulator thread. They play in turns, a short slice each, in
one process. What a step costs is CPU time of the whole process, so that what else the machine does
matters little; by the clock it is printed too. `moments` reads the memory as well, as h-DQN does at
each step.

    .venv/bin/python -m benchmarks.hdqn_backends --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from algorithms.envs import AtariFrames, AtariRamFrames
from algorithms.envs.vector import GOES_ON
from benchmarks.replay import machine

GAMES = ("montezuma_revenge", "breakout", "pong")
NATIVE, RAM, MOMENTS = "native", "ram", "ram_moments"


@dataclass
class Player:
    """Random play on one backend."""

    frames: AtariFrames | AtariRamFrames
    reads_memory: bool
    rng: np.random.Generator
    cpu_us: list[float] = field(default_factory=list)
    """Of a step of one environment, by slice."""
    wall_us: list[float] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        make: Callable[..., AtariFrames | AtariRamFrames],
        game: str,
        num_envs: int,
        *,
        reads_memory: bool = False,
        **options: int,
    ) -> Player:
        """Starts the games."""
        frames = make(game, num_envs, **options)
        frames.reset(np.arange(num_envs))
        return cls(frames, reads_memory, np.random.default_rng(0))

    def play(self, num_steps: int) -> None:
        """Plays a slice and times it."""
        frames, num_envs = self.frames, self.frames.num_envs
        actions = self.rng.integers(frames.num_actions, size=(num_steps, num_envs))
        began, cpu = time.perf_counter(), time.process_time()
        for action in actions:
            frames.send(action)
            step = frames.recv()
            if self.reads_memory:
                frames.moments()  # type: ignore[union-attr]
            over = step.terminated | step.truncated
            if over.any():
                frames.reset(np.full(int(over.sum()), GOES_ON), over)
        self.cpu_us.append((time.process_time() - cpu) / actions.size * 1e6)
        self.wall_us.append((time.perf_counter() - began) / actions.size * 1e6)


def measure(game: str, num_envs: int, rounds: int, num_steps: int) -> dict[str, Player]:
    """Has them play in turns; by name. The first slice of each is not counted."""
    players = {
        NATIVE: Player.start(AtariFrames, game, num_envs, num_threads=1),
        RAM: Player.start(AtariRamFrames, game, num_envs),
        MOMENTS: Player.start(AtariRamFrames, game, num_envs, reads_memory=True),
    }
    for i in range(rounds + 1):
        names = list(players)
        for name in names[i % 3 :] + names[: i % 3]:
            players[name].play(num_steps)
    for player in players.values():
        del player.cpu_us[0], player.wall_us[0]
        player.frames.close()
    return players


def speed(players: dict[str, Player], name: str, clock: str) -> float:
    """Steps a second over the native backend's, the median over the slices."""
    own, native = (getattr(players[who], clock) for who in (name, NATIVE))
    return statistics.median(b / a for a, b in zip(own, native, strict=True))


def main() -> None:
    """Plays, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", nargs="*", default=GAMES, help="ROM names (default: three)")
    parser.add_argument("--num-envs", type=int, default=8, help="games at once (default: 8)")
    parser.add_argument("--rounds", type=int, default=21, help="slices of each (default: 21)")
    parser.add_argument("--steps", type=int, default=40, help="steps a slice (default: 40)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    where = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(
        f"{options.num_envs} games at once, {options.rounds} slices of {options.steps} steps each; "
        "medians\n"
    )
    print(
        f"{'game':<20} {'backend':<12} {'CPU us/step':>12} {'us/step':>9} "
        f"{'speed, CPU':>11} {'speed, clock':>13}"
    )
    measured: dict[str, dict[str, dict[str, float]]] = {}
    ratios: dict[str, float] = {}
    for game in options.games:
        players = measure(game, options.num_envs, options.rounds, options.steps)
        measured[game] = {}
        for name, player in players.items():
            cpu, wall = map(statistics.median, (player.cpu_us, player.wall_us))
            by_cpu, by_clock = (speed(players, name, clock) for clock in ("cpu_us", "wall_us"))
            print(
                f"{game:<20} {name:<12} {cpu:12.1f} {wall:9.1f} {by_cpu:11.3f} {by_clock:13.3f}",
                flush=True,
            )
            measured[game][name] = {"cpu_us_per_step": cpu, "us_per_step": wall}
            if name != NATIVE:
                ratios[f"{game}/{name}_over_native_per_core"] = by_cpu
                ratios[f"{game}/{name}_over_native_by_clock"] = by_clock
    if options.json:
        print(json.dumps({"machine": where, "games": measured, "ratios": ratios}))


if __name__ == "__main__":
    main()
