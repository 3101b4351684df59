"""Where the detector sees the agent of Montezuma's Revenge, beside where the memory says it is.

A random player plays whole games from their start, after 8 steps without an action in which the
agent, that begins in a jump, comes to stand. Counted are the pictures of the first room in which
the memory says that the agent lives (see `lives`), those in which the detector sees none among
them; left out, those of other rooms and those of an agent that dies.

    .venv/bin/python -m benchmarks.hdqn_detector --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from algorithms.envs import AtariRamFrames
from algorithms.hdqn.montezuma import agent_box
from algorithms.hdqn.montezuma_pixels import montezuma_detector
from benchmarks.replay import machine

WITHIN_X_PX, WITHIN_Y_PX = 3, 6
STANDS_AFTER = 8
# Addresses in the console's memory.
_ROOM, _STATE, _DYING = 3, 54, 55
_FIRST_ROOM, _FELL = 1, 6


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of the detector with the memory."""

    agreement: float
    """Share of the pictures counted in which it sees the agent, and near enough."""
    num_counted: int
    num_other_rooms: int
    """Left out."""
    num_dying: int
    """Left out."""
    num_unseen: int
    """Counted, and no agent seen."""
    num_seen_dying: int
    """Of those left out, in which one is seen."""
    num_episodes: int
    """That were begun."""
    error_x_px: dict[str, float]
    """p50, p95 and max, where it is seen."""
    error_y_px: dict[str, float]
    detector_us: float
    """CPU time for a picture, the median."""


def lives(ram: np.ndarray) -> bool:
    """Whether the memory, (128,) uint8, says that the agent lives: it did not fall to its death
    (54 is 6), and no death counts down (55 is 0)."""
    return bool(ram[_STATE] != _FELL and ram[_DYING] == 0)


def measure(num_frames: int, frame_skip: int, seed: int) -> Agreement:
    """Plays until so many pictures are counted."""
    frames = AtariRamFrames("montezuma_revenge", 1, frame_skip=frame_skip, noop_max=0)
    detector, rng = montezuma_detector(), np.random.default_rng(seed)
    errors: list[tuple[float, float]] = []
    seconds: list[float] = []
    left_out = {"room": 0, "dying": 0}
    unseen = seen_dying = episodes = 0
    over = True
    while len(errors) + unseen < num_frames:
        if over:
            frames.reset(np.array([seed + episodes]))
            episodes += 1
            for _ in range(STANDS_AFTER):
                frames.send(np.array([0]))
                frames.recv()
        frames.send(rng.integers(frames.num_actions, size=1))
        step = frames.recv()
        over = bool(step.terminated[0] | step.truncated[0])
        info = frames.moments(screen=True)[0].info
        began = time.process_time()
        seen = detector.find(info["screen"]).get("agent")
        seconds.append(time.process_time() - began)
        if info["ram"][_ROOM] != _FIRST_ROOM:
            left_out["room"] += 1
        elif not lives(info["ram"]):
            left_out["dying"] += 1
            seen_dying += seen is not None
        elif seen is None:
            unseen += 1
        else:
            there = agent_box(info["ram"])
            errors.append((abs(seen.x - there.x), abs(seen.y - there.y)))
    frames.close()
    error = np.array(errors)
    near = (error[:, 0] <= WITHIN_X_PX) & (error[:, 1] <= WITHIN_Y_PX)
    of_x, of_y = (
        {"p50": float(p50), "p95": float(p95), "max": float(most)}
        for p50, p95, most in np.percentile(error, [50, 95, 100], axis=0).T
    )
    return Agreement(
        agreement=float(near.sum()) / num_frames,
        num_counted=num_frames,
        num_other_rooms=left_out["room"],
        num_dying=left_out["dying"],
        num_unseen=unseen,
        num_seen_dying=seen_dying,
        num_episodes=episodes,
        error_x_px=of_x,
        error_y_px=of_y,
        detector_us=statistics.median(seconds) * 1e6,
    )


def main() -> None:
    """Plays, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=5_000, help="to count (default: 5000)")
    parser.add_argument(
        "--frame-skips",
        type=int,
        nargs="*",
        default=(4, 1),
        help="emulator frames a step (default: 4, as the agent plays, and 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of actions and games (default: 0)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    where = machine() | {"opencv": cv2.__version__}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(
        f"{options.frames} pictures of random play counted; agreement: within {WITHIN_X_PX} px in "
        f"x and {WITHIN_Y_PX} in y;\nerrors in px: p50, p95, most\n"
    )
    print(
        f"{'skip':>4} {'agreement':>9} {'unseen':>6} {'x':>13} {'y':>13} {'games':>5} "
        f"{'left out: other room':>20} {'dying':>6} {'(seen)':>6} {'us/picture':>10}"
    )
    measured: dict[str, Agreement] = {}
    for frame_skip in options.frame_skips:
        result = measure(options.frames, frame_skip, options.seed)
        x, y = (
            "/".join(f"{value:g}" for value in error.values())
            for error in (result.error_x_px, result.error_y_px)
        )
        print(
            f"{frame_skip:>4} {result.agreement:9.2%} {result.num_unseen:6} {x:>13} {y:>13} "
            f"{result.num_episodes:5} {result.num_other_rooms:20} {result.num_dying:6} "
            f"{result.num_seen_dying:6} {result.detector_us:10.0f}",
            flush=True,
        )
        measured[f"frame_skip_{frame_skip}"] = result
    if options.json:
        by_skip = {name: asdict(result) for name, result in measured.items()}
        # No peers: the memory is what the detector is held against.
        ratios = {f"{name}/agreement": result.agreement for name, result in measured.items()}
        print(json.dumps({"machine": where, "detector": by_skip, "ratios": ratios}))


if __name__ == "__main__":
    main()
