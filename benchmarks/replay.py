"""Memory and speed of the frame replay on the seven games of Mnih et al. 2013.

A random player, and the trained one of each `--run` with epsilon 0.1, play with the paper's
preprocessing (grey, 110x84, cropped to 84x84, no max-pooling, frame skip 4, 3 for Space Invaders),
and the frames fill a compressed and an uncompressed replay. Memory at a million transitions is
computed, not filled: the mean bytes of an encoded frame, packed into whole chunks, plus the arrays
of a replay of a million records.

    make bench-replay ARGS="--transitions 100000 --json"
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import ale_py
import lz4.version
import numpy as np

from algorithms.dqn import DQNConfig
from algorithms.dqn.options import options_of
from algorithms.dqn.paper_scores import TABLE_1
from algorithms.dqn.playing import load_runner
from algorithms.dqn.runner import DQNRunner
from algorithms.replay import Fragment, FrameCodec, FrameReplay, RecordFlag
from algorithms.replay.arena import CHUNK_OVERHEAD_BYTES
from algorithms.replay.store import CHUNK_BYTES
from arcadia.runs import RunFolder

GAMES = tuple(TABLE_1)
SHAPE = (84, 84)
STEPS_PER_FRAGMENT = 1_000
TRAINED_EPSILON = 0.1
NUM_ENVS = 8
STACK = 4
BATCH_SIZE = 32
NUM_ROUNDS = 7
BATCHES_PER_ROUND = 100
RECORDS_PER_FRAGMENT = 256
MILLION = 1_000_000
RAW_STACK_BYTES = 2 * STACK * math.prod(SHAPE)
"""Two stacks of uint8, as a replay of plain transitions holds them."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """K records in the order of arrival, frames not encoded yet."""

    frames: np.ndarray
    """`(K, 84, 84)` uint8."""
    columns: dict[str, np.ndarray]
    """The other arrays of a `Fragment`, without sizes."""

    @property
    def num_transitions(self) -> int:
        """Records that have an action."""
        return int(np.count_nonzero((self.columns["flags"] & RecordFlag.FINAL) == 0))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured with one compression in one game."""

    frame_bytes: float
    bytes_per_transition: float
    gb_at_1m: float
    encode_us: float
    inserts_per_s: float
    batches_per_s: float


def play(runner: DQNRunner, num_transitions: int, epsilon: float) -> Recording:
    """Records a player: a random one with epsilon 1."""
    fragments, recorded = [], 0
    while recorded < num_transitions:
        runner.start_step(epsilon)
        runner.finish_step()
        if runner.num_env_steps_sampled_lifetime - recorded >= STEPS_PER_FRAGMENT:
            fragments.append(runner.take_fragment())
            recorded = runner.num_env_steps_sampled_lifetime
    runner.stop()
    names = ("stream", "sequence", "action", "reward", "flags", "goal", "duration")
    return Recording(
        frames=np.concatenate([fragment.frames for fragment in fragments]).reshape(-1, *SHAPE),
        columns={name: np.concatenate([getattr(f, name) for f in fragments]) for name in names},
    )


def random_player(game: str, seed: int) -> DQNRunner:
    """A runner with the paper's preprocessing, whose frames are not encoded."""
    config = DQNConfig.preset(
        "nips2013", game=game, num_envs_per_env_runner=NUM_ENVS, replay_compression="none"
    )
    return DQNRunner(config=config.debugging(seed=seed), worker_index=0)


def trained_player(run: RunFolder, seed: int) -> DQNRunner:
    """The same game and preprocessing, played by a run's latest checkpoint."""
    runner = random_player(str(options_of(run).game), seed)
    runner.use_modules(load_runner(run, num_envs=1, seed=seed).modules)
    return runner


def encode(recording: Recording, codec: FrameCodec) -> tuple[list[Fragment], float]:
    """Cuts a recording into fragments; also the seconds spent encoding."""
    fragments, seconds = [], 0.0
    for start in range(0, len(recording.frames), RECORDS_PER_FRAGMENT):
        part = slice(start, start + RECORDS_PER_FRAGMENT)
        began = time.perf_counter()
        frames, sizes = codec.encode_many(recording.frames[part])
        seconds += time.perf_counter() - began
        columns = {name: column[part] for name, column in recording.columns.items()}
        fragments.append(Fragment(frames=frames, sizes=sizes, **columns))
    return fragments, seconds


def seconds_of(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def bytes_at_1m(frame_bytes: float, longest: int) -> float:
    """All bytes of a full replay of a million records, from the mean bytes of a frame."""
    empty = FrameReplay(capacity=MILLION, frame_shape=SHAPE, rng=np.random.default_rng(0)).nbytes
    # A chunk's rest is at most a frame; raw frames fill whole slots.
    chunk = CHUNK_BYTES - (CHUNK_BYTES % longest if frame_bytes == longest else frame_bytes)
    num_chunks = math.ceil(MILLION * frame_bytes / chunk) + 1
    return empty + num_chunks * (CHUNK_BYTES + CHUNK_OVERHEAD_BYTES)


def measure(recording: Recording, seed: int) -> tuple[dict[str, Result], float]:
    """Fills both replays and samples them in turns.

    Returns:
        Result by compression, and the median of the ratio of sampling times, lz4 over none.
    """
    num_records = len(recording.frames)
    results, replays = {}, {}
    for compression in ("lz4", "none"):
        replay = FrameReplay(
            capacity=num_records,
            frame_shape=SHAPE,
            stack=STACK,
            compression=compression,
            rng=np.random.default_rng(seed),
        )
        fragments, encoding = encode(recording, replay.codec)
        for fragment in fragments:
            replay.add(fragment)
        # Again, into the full replay: what an insert costs when each evicts one.
        inserting = seconds_of(lambda: [replay.add(fragment) for fragment in fragments])  # noqa: B023
        frame_bytes = sum(len(fragment.frames) for fragment in fragments) / num_records
        at_1m = bytes_at_1m(frame_bytes, replay.codec.max_encoded_nbytes)
        per_transition = at_1m / MILLION * num_records / recording.num_transitions
        results[compression] = Result(
            frame_bytes=frame_bytes,
            bytes_per_transition=per_transition,
            gb_at_1m=per_transition * MILLION / 1e9,
            encode_us=encoding / num_records * 1e6,
            inserts_per_s=recording.num_transitions / inserting,
            batches_per_s=0.0,
        )
        replays[compression] = replay

    def draw(replay: FrameReplay) -> None:
        for _ in range(BATCHES_PER_ROUND):
            replay.sample(BATCH_SIZE)

    times: dict[str, list[float]] = {"lz4": [], "none": []}
    for _ in range(NUM_ROUNDS + 1):
        for compression, replay in replays.items():
            times[compression].append(seconds_of(lambda: draw(replay)))  # noqa: B023
    times = {compression: values[1:] for compression, values in times.items()}  # warm
    for compression, values in times.items():
        rate = BATCHES_PER_ROUND / statistics.median(values)
        results[compression] = replace(results[compression], batches_per_s=rate)
    ratios = [lz4_s / none_s for lz4_s, none_s in zip(times["lz4"], times["none"], strict=True)]
    return results, statistics.median(ratios)


def machine() -> dict[str, str | int]:
    """Processor, cores and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "lz4": lz4.version.version,
        "ale_py": ale_py.__version__,
    }


def main() -> None:
    """Plays, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--transitions", type=int, default=20_000, help="transitions a player (default: 20000)"
    )
    parser.add_argument(
        "--games",
        nargs="*",
        default=GAMES,
        help="names of ROMs (default: those seven)",
    )
    parser.add_argument(
        "--run", nargs="*", default=[], help="runs of DQN whose policy plays too, epsilon 0.1"
    )
    parser.add_argument("--seed", type=int, default=0, help="of play and sampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()

    where = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(
        f"{options.transitions} transitions a player, {NUM_ENVS} streams, stacks of {STACK}; GB at "
        f"1 M are extrapolated;\nsampling: batches of {BATCH_SIZE}, median of {NUM_ROUNDS} rounds "
        f"of {BATCHES_PER_ROUND}, in turns\n"
    )
    print(
        f"{'player':<22} {'codec':<5} {'B/frame':>8} {'B/trans.':>9} {'GB at 1M':>9} "
        f"{'encode us':>10} {'inserts/s':>10} {'batches/s':>10} {'lz4/none':>9}"
    )
    players: list[tuple[str, DQNRunner, float]] = [
        (game, random_player(game, options.seed), 1.0) for game in options.games
    ]
    for run in map(RunFolder.open, options.run):
        runner = trained_player(run, options.seed)
        players.append((f"{runner.options.game}, trained", runner, TRAINED_EPSILON))
    measured: dict[str, dict[str, dict[str, float]]] = {}
    ratios: dict[str, float] = {}
    for player, runner, epsilon in players:
        recording = play(runner, options.transitions, epsilon)
        results, sampling_ratio = measure(recording, options.seed)
        for compression, result in results.items():
            ratio = f"{sampling_ratio:9.2f}" if compression == "lz4" else ""
            print(
                f"{player:<22} {compression:<5} {result.frame_bytes:8.0f} "
                f"{result.bytes_per_transition:9.0f} {result.gb_at_1m:9.3f} "
                f"{result.encode_us:10.1f} {result.inserts_per_s:10.0f} "
                f"{result.batches_per_s:10.0f} {ratio}",
                flush=True,
            )
            size = result.bytes_per_transition / RAW_STACK_BYTES
            ratios[f"{player}/bytes_{compression}_over_raw_stacks"] = size
        ratios[f"{player}/sample_seconds_lz4_over_none"] = sampling_ratio
        measured[player] = {compression: asdict(result) for compression, result in results.items()}
    if options.json:
        print(json.dumps({"machine": where, "players": measured, "ratios": ratios}))


if __name__ == "__main__":
    main()
