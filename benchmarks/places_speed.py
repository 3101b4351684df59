# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""How fast pictures are prepared, and what memory that takes, in one run.

- **prepare**: images a second against a bare loop of decode, cut, resize and encode with OpenCV in
  one process per core, whose results are dropped, in turns; both without their start-up. The bare
  loop judges no colour, looks at no header, and writes nothing.
- **alone**: the same without Ray, a part at a time in this process, against one bare loop.
- **memory**: the largest proportional share (PSS) of all processes, many images against few.

Sources are JPEG files made of the test data's photographs, those of little colour left out, at two
sizes: short sides of 512 and 256 pixels, as Places has them.

    python -m benchmarks.places_speed --json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arcadia import cluster

cluster.state_environment()
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np

from arcadia.errors import UserError
from arcadia.media import read_image
from arcadia.storage import Storage
from benchmarks.memory import PeakMemory
from benchmarks.replay import machine
from pipelines.places.config import PrepareOptions
from pipelines.places.images import Prepared, prepare_image
from pipelines.places.labels import Classes
from pipelines.places.plan import make_plan
from pipelines.places.sources import Source

GOALS = {"prepare": "at least 0.9", "memory": "at most 1.1"}

_SIZE = 256
_QUALITY = 92


def photographs(folder: Path, short_side: int) -> list[bytes]:
    """JPEG files of the test data's photographs at a size."""
    files = []
    for path in sorted((folder / "photos").rglob("*")):
        try:
            picture = read_image(path) if path.is_file() else None
        except UserError:
            picture = None
        if picture is None or min(picture.shape[:2]) < short_side:
            continue
        height, width = picture.shape[:2]
        scale = short_side / min(height, width)
        size = (round(width * scale), round(height * scale))
        smaller = cv2.resize(picture[..., ::-1], size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        if isinstance(prepare_image(data, PrepareOptions()), Prepared):
            files.append(data)
    return files


def make_source(root: Path, files: Sequence[bytes], number: int) -> None:
    """A folder of ten classes; a picture that is there several times takes its place once."""
    written: list[Path] = []
    for i in range(number):
        path = root / f"class_{i % 10}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < len(files):
            path.write_bytes(files[i])
            written.append(path)
        else:
            os.link(written[i % len(files)], path)


def prepare(root: Path, part_images: int, num_cpus: int) -> float:
    """Images a second, from when all workers have begun to when the last shard is written."""
    from pipelines.places import data

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        storage = Storage.at(Path(folder, "out"))
        source = Source(str(root))
        config = {"source": str(root)}
        plan = make_plan(storage, source, Classes(), part_images=part_images, seed=0, config=config)
        options = PrepareOptions(size=_SIZE, quality=_QUALITY)
        job = data.start(storage.uri, range(plan.num_parts), options)
        began, before = 0.0, 0
        while not job.is_over:
            latest = job.latest()
            if not began and len(latest) >= min(num_cpus, plan.num_parts):
                began = time.perf_counter()
                before = sum(int(record["read"]) for record in latest.values())
            job.wait(0.05 if not began else 0.5)
        seconds = time.perf_counter() - began
        job.wait()
        errors = [row["error"] for row in job.rows if row["error"]]
        assert not errors, errors
        assert began, "parts were over before they were seen to begin: give more images"
    return (plan.num_images - before) / seconds


def bare(root: Path, num_cpus: int) -> float:
    """Images a second of the bare loop."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(num_cpus)
    times: Any = context.Queue()
    paths = sorted(str(path) for path in root.rglob("*.jpg"))
    processes = [
        context.Process(target=_bare_loop, args=(paths[i::num_cpus], barrier, times))
        for i in range(num_cpus)
    ]
    for process in processes:
        process.start()
    spans = [times.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    return len(paths) / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _bare_loop(paths: Sequence[str], barrier: Any, times: Any) -> None:
    cv2.setNumThreads(1)
    barrier.wait()
    began = time.perf_counter()
    for path in paths:
        with open(path, "rb") as file:
            picture = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = picture[top : top + side, left : left + side]
        square = cv2.resize(middle, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    times.put((began, time.perf_counter()))


def speed(
    files: Sequence[bytes], number: int, rounds: int, part_images: int, num_cpus: int
) -> dict[str, Any]:
    """Both rates, and the median of their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_source(root, files, number)
        prepare(root, part_images, num_cpus)  # Ray starts its workers
        turns = [
            (prepare(root, part_images, num_cpus), bare(root, num_cpus)) for _ in range(rounds)
        ]
    return {
        "arcadia_images_per_s": statistics.median(own for own, _ in turns),
        "bare_images_per_s": statistics.median(other for _, other in turns),
        "ratio": statistics.median(own / other for own, other in turns),
        "images": number,
        "rounds": rounds,
        "processes": num_cpus,
    }


def alone(files: Sequence[bytes], number: int, rounds: int, part_images: int) -> dict[str, Any]:
    """Both rates of one process, and the median of their ratios."""
    from pipelines.places.shards import Part

    cv2.setNumThreads(1)
    turns = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "source")
        make_source(root, files, number)
        paths = sorted(str(path) for path in root.rglob("*.jpg"))
        config = {"source": str(root)}
        options = PrepareOptions(size=_SIZE, quality=_QUALITY)
        for turn in range(rounds + 1):  # the first does not count
            storage = Storage.at(Path(folder, f"out-{turn}"))
            plan = make_plan(
                storage,
                Source(str(root)),
                Classes(),
                part_images=part_images,
                seed=0,
                config=config,
            )
            began = time.perf_counter()
            for part in range(plan.num_parts):
                Part(storage, plan, part, options, call="alone").carry_out()
            own = time.perf_counter() - began
            times: queue.SimpleQueue[tuple[float, float]] = queue.SimpleQueue()
            _bare_loop(paths, threading.Barrier(1), times)
            began, end = times.get()
            turns.append((number / own, number / (end - began)))
    return {
        "arcadia_images_per_s": statistics.median(own for own, _ in turns[1:]),
        "bare_images_per_s": statistics.median(other for _, other in turns[1:]),
        "ratio": statistics.median(own / other for own, other in turns[1:]),
    }


def memory(
    files: Sequence[bytes], numbers: Sequence[int], part_images: int, num_cpus: int
) -> dict[str, Any]:
    """Peak PSS with few images and with many."""
    peaks = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            make_source(Path(folder), files, number)
            with PeakMemory() as peak:
                prepare(Path(folder), part_images, num_cpus)
            peaks.append(peak.bytes)
    found: dict[str, Any] = {f"bytes_{n}": p for n, p in zip(numbers, peaks, strict=True)}
    return found | {"ratio": peaks[-1] / peaks[0]}


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="of: prepare alone memory")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default: 5)")
    parser.add_argument("--images", type=int, default=32_768, help="of a turn (default: 32768)")
    parser.add_argument(
        "--part-images", type=int, default=4096, help="of a shard (default: 4096, the command's)"
    )
    parser.add_argument(
        "--memory-part-images", type=int, default=500, help="of a shard (default: 500)"
    )
    parser.add_argument(
        "--memory-images", type=int, nargs=2, default=[1000, 10_000], help="(default: 1000 10000)"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if "ARCADIA_TEST_DATA" not in os.environ:
        parser.error("ARCADIA_TEST_DATA is not set: it names the folder of photographs")
    folder = Path(os.environ["ARCADIA_TEST_DATA"])
    num_cpus = max(int(cluster.connect()["CPU"]), 1)
    where = machine() | {"opencv": cv2.__version__, "processes": num_cpus}
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    large, small = photographs(folder, 512), photographs(folder, 256)
    work = (options.images, options.rounds, options.part_images, num_cpus)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "prepare_512": lambda: speed(large, *work),
        "prepare_256": lambda: speed(small, *work),
        "alone_512": lambda: alone(large, 2_000, options.rounds, 1_000),
        "alone_256": lambda: alone(small, 2_000, options.rounds, 1_000),
        "memory": lambda: memory(
            large, options.memory_images, options.memory_part_images, num_cpus
        ),
    }
    found = {}
    for name, measure in measures.items():
        kind = name.partition("_")[0]
        if options.only and kind not in options.only:
            continue
        found[name] = measure()
        shown = ", ".join(f"{k} {_shown(v)}" for k, v in found[name].items())
        goal = f" (goal: {GOALS[kind]})" if kind in GOALS else ""
        print(f"{name}: {shown}{goal}", flush=True)
    if options.json:
        ratios = {name: values["ratio"] for name, values in found.items()}
        print(json.dumps({"machine": where, "places": found, "ratios": ratios}))


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    main()
