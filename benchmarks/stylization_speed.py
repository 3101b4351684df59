# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""How fast videos are painted, against the bare arithmetic and the usual recipe, in one run.

- **iteration**: seconds of one iteration of L-BFGS against a bare PyTorch loop of the same forward
  and backward without an optimiser, on the same frame, in turns.
- **video**: a whole video, from its first frame to the written file, against the sum of what its
  frames' searches took: decoding, flow, masks and encoding should hide behind them.
- **recipe**: to the content and style loss that the usual recipe (every frame by itself, from
  noise, a fixed number of iterations) ends with, starting from the warped result before.
- **workers**: two equal shots by two workers of one thread each, against one such worker.
- **memory**: the largest proportional share (PSS) of all processes, 120 frames against 30 frames of
  one clip.

    make bench-stylization ARGS="--json"
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from arcadia import cluster

cluster.state_environment()
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from arcadia.media import VideoWriter, read_image, read_video, resized
from benchmarks.memory import PeakMemory
from benchmarks.replay import machine
from benchmarks.stylization_bare import BareLoop
from pipelines.flow import FlowMethod, Motion, estimate_flow
from pipelines.flow.masks import consistency_mask
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.stylizer import Neighbour, Stylizer

GOALS = {"iteration": 1.1, "video": 1.15, "workers": 0.6, "memory": 1.1}


class Data:
    """The clip and the style.

    Args:
        folder: of the test data; see the README's tests.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.clip = folder / "videos" / "carphone_pristine.mp4"
        self.style_path = folder / "styles" / "starry_night.jpg"
        self.style = read_image(self.style_path)

    def frames(self, count: int, size: tuple[int, int]) -> list[np.ndarray]:
        """The clip's first frames, at (height, width)."""
        frames = []
        for frame in read_video(self.clip):
            frames.append(resized(frame, size))
            if len(frames) == count:
                break
        return frames


def iteration(data: Data, size: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Seconds of an iteration, of the bare loop's, and their ratio."""
    first, second = data.frames(2, size)
    motion = _motion(first, second)
    stylizer = Stylizer(StyleOptions(stop_change=0), data.style)
    height, width = data.style.shape[:2]
    scale = max(size) / max(height, width)
    style = resized(data.style, (round(height * scale), round(width * scale)))
    neighbour = Neighbour(first, motion)
    warped = stylizer.warped(neighbour)
    bare = BareLoop(second, style, warped, motion.mask)
    image = torch.from_numpy(warped).permute(2, 0, 1)[None].contiguous().requires_grad_(True)
    # The history is full from the hundredth iteration on: the most that L-BFGS costs.
    marks: list[float] = []
    turns: list[tuple[float, float]] = []

    def check(number: int) -> None:
        marks.append(time.perf_counter())
        if number >= 110 and number % 2 == 0:
            began = time.perf_counter()
            bare.gradient(image)
            turns.append((marks[-1] - marks[-2], time.perf_counter() - began))
            marks.append(time.perf_counter())

    # An iteration lies between two marks; the one before a bare step has no such step in it.
    stylizer.paint(1, second, [neighbour], start=warped, iterations=110 + 2 * rounds, check=check)
    ours = statistics.median(own for own, _ in turns)
    theirs = statistics.median(other for _, other in turns)
    ratio = statistics.median(own / other for own, other in turns)
    return {"arcadia_s": ours, "bare_s": theirs, "ratio": ratio, "rounds": len(turns)}


def recipe(data: Data, size: tuple[int, int], iterations: int) -> dict[str, Any]:
    """Iterations and seconds to the loss that the usual recipe ends with."""
    first, second = data.frames(2, size)
    motion = _motion(first, second)
    plain = Stylizer(StyleOptions(temporal_weight=0, stop_change=0), data.style)
    before = plain.paint(0, first, start=None, iterations=iterations)
    usual = plain.paint(1, second, start=None, iterations=iterations)
    goal = usual.losses["total"]
    start = plain.warped(Neighbour(before.image, motion))
    needed, seconds = None, None
    for count in (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, iterations):
        own = plain.paint(1, second, start=start, iterations=count)
        if own.losses["total"] <= goal:
            needed, seconds = count, own.seconds
            break
    return {
        "usual_iterations": iterations,
        "usual_s": usual.seconds,
        "arcadia_iterations": needed,
        "arcadia_s": seconds,
        "ratio": None if seconds is None else seconds / usual.seconds,
    }


def video(data: Data, size: int, frames: int, iterations: int, rounds: int) -> dict[str, Any]:
    """A whole video against the sum of its searches."""
    turns = []
    for _ in range(rounds):
        painted = _paint(data, size, [(0, frames)], iterations, num_workers=1)
        turns.append((painted["whole_s"], painted["searching_s"]))
    ratio = statistics.median(whole / searching for whole, searching in turns)
    return {
        "whole_s": statistics.median(whole for whole, _ in turns),
        "searching_s": statistics.median(searching for _, searching in turns),
        "ratio": ratio,
        "rounds": rounds,
    }


def workers(data: Data, size: int, frames: int, iterations: int, rounds: int) -> dict[str, Any]:
    """Two equal shots by two workers against one, start-up excluded."""
    shots = [(0, frames), (frames, 2 * frames)]
    turns = []
    for _ in range(rounds):
        one = _paint(data, size, shots, iterations, num_workers=1, equal=True)["painting_s"]
        two = _paint(data, size, shots, iterations, num_workers=2, equal=True)["painting_s"]
        turns.append((one, two))
    return {
        "one_s": statistics.median(one for one, _ in turns),
        "two_s": statistics.median(two for _, two in turns),
        "ratio": statistics.median(two / one for one, two in turns),
        "rounds": rounds,
    }


def memory(data: Data, size: int, iterations: int) -> dict[str, Any]:
    """Peak PSS of a long and a short stretch."""
    peaks = {}
    for frames in (30, 120):
        with PeakMemory() as peak:
            _paint(data, size, [(0, frames)], iterations, num_workers=1, flow="dis_medium")
        peaks[frames] = peak.bytes
    return {"bytes_30": peaks[30], "bytes_120": peaks[120], "ratio": peaks[120] / peaks[30]}


def _motion(earlier: np.ndarray, later: np.ndarray) -> Motion:
    forward, backward = estimate_flow(earlier, later), estimate_flow(later, earlier)
    return Motion(flow=backward, mask=consistency_mask(forward, backward))


def _paint(
    data: Data,
    size: int,
    shots: list[tuple[int, int]],
    iterations: int,
    *,
    num_workers: int,
    equal: bool = False,
    flow: FlowMethod = "dis_fine",
) -> dict[str, float]:
    """Paints shots of the clip with one thread a worker.

    Args:
        data: the clip and the style.
        size: longest side in pixels.
        shots: first frame and the one after the last.
        iterations: of every frame.
        num_workers: side by side.
        equal: let all shots have the first one's frames.
        flow: how it is estimated.

    Returns:
        `painting_s`, from the beginning of the first frame to the end of the last; `searching_s`,
        the sum of the searches; `whole_s`, painting and writing the video.
    """
    from arcadia.runs import RunFolder
    from pipelines.stylization.data import Painting, Workers
    from pipelines.stylization.finish import write_output
    from pipelines.stylization.plan import Clip, plan_video, save_style
    from pipelines.stylization.results import Manifest

    options = StyleOptions(
        size=size,
        iterations_first=iterations,
        iterations=iterations,
        start_first="content",
        stop_change=0,
        detector="none",
        flow=flow,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        clip = Path(folder, "clip.mp4")
        shown = data.frames(shots[-1][1], (144, 176))
        with VideoWriter(clip, 25) as writer:
            for start, stop in shots:
                own = shown[: stop - start] if equal else shown[start:stop]
                for frame in own:
                    writer.write(frame)
        run = RunFolder.create(Path(folder, "run"), kind="stylize", config={}, seed=0)
        save_style(run, str(data.style_path), None)
        target = Clip(name="clip", path=str(clip), output=str(Path(folder, "out.mp4")))
        plan = plan_video(target, options, fps=Fraction(25), preview=None)
        plan = dataclasses.replace(plan, shots=tuple(shots))
        plan.save(run.storage)
        parts = plan.parts(options)
        painting = Painting(
            run.uri,
            parts,
            dataclasses.asdict(options),
            0,
            Workers(number=num_workers, num_cpus=1, num_gpus=0, num_neighbours=num_workers),
        )
        began: float | None = None
        while not painting.is_over:
            painting.wait(0.05)
            done, seconds = painting.progress()
            if began is None and sum(done.values()):
                began = time.perf_counter() - seconds
        painting.wait()
        painted = time.perf_counter()
        errors = [error for error in painting.returned().values() if error]
        assert not errors, errors
        assert began is not None
        write_output(run, plan, options, crf=18)
        ended = time.perf_counter()
        searching = sum(
            record["seconds"] for part in parts for record in Manifest(run.storage, part).frames
        )
    return {
        "painting_s": painted - began,
        "searching_s": searching,
        "whole_s": ended - began,
    }


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="of: iteration recipe video workers memory")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of an iteration")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if "ARCADIA_TEST_DATA" not in os.environ:
        parser.error("ARCADIA_TEST_DATA is not set: it names the folder of clips and styles")
    data = Data(Path(os.environ["ARCADIA_TEST_DATA"]))
    torch.set_num_threads(options.threads)
    where = machine() | {"torch": torch.__version__, "threads": options.threads}
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "iteration_128x104": lambda: iteration(data, (104, 128), 4 * options.rounds),
        "iteration_176x144": lambda: iteration(data, (144, 176), 4 * options.rounds),
        "recipe": lambda: recipe(data, (104, 128), 300),
        "video": lambda: video(data, 128, 12, 30, options.rounds),
        "workers": lambda: workers(data, 96, 8, 30, options.rounds),
        "memory": lambda: memory(data, 64, 2),
    }
    found = {}
    for name, measure in measures.items():
        if options.only and name.partition("_")[0] not in options.only:
            continue
        if name in ("video", "workers", "memory"):
            _connect()
        found[name] = measure()
        shown = ", ".join(f"{k} {_shown(v)}" for k, v in found[name].items())
        goal = GOALS.get(name.partition("_")[0])
        print(f"{name}: {shown}" + (f" (goal: at most {goal})" if goal else ""), flush=True)
    if options.json:
        ratios = {name: values["ratio"] for name, values in found.items()}
        print(json.dumps({"machine": where, "stylization": found, "ratios": ratios}))


def _connect() -> None:
    cluster.connect()


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if value else str(value)


if __name__ == "__main__":
    main()
