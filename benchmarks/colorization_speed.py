# ruff: noqa: E402 - the environment is stated before anything imports Ray
"""How fast the colorizer learns and colours, against bare loops, in one run.

- **training**: images a second of `arcadia train colorizer`, its first ten steps left out, against
  a bare loop of PyTorch that makes the same steps on one batch that it has in memory, with as many
  threads, in turns. At the paper's width and at a quarter of it.
- **loader**: images a second that are decoded, cropped and mirrored, for each core.
- **inference**: images a second of the workers of `arcadia colorize`, from file to file, their
  start-up left out, against the bare network on pictures in memory, in turns.
- **pieces**: milliseconds a picture of 256 x 256 of what colouring is made of.
- **sizes**: seconds a picture by its size, as in the paper's table.

Pictures are the test data's photographs. `python -m benchmarks.places_speed` measures what makes
them ready.

    make bench-colorization ARGS="--json"
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arcadia import cluster

cluster.state_environment()
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arcadia.cli import main as arcadia
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from benchmarks.places_speed import make_source, photographs
from benchmarks.replay import machine
from pipelines.colorization import Colorizer, NetworkOptions
from pipelines.colorization.spaces import split

GOALS = {
    "training_1": "at least 0.95",
    "training_0.25": "at least 0.8",
    "inference_1": "at least 0.9",
    "inference_0.25": "at least 0.9",
}
_NUM_CLASSES = 10
_CROP = 224
_SIZES = ((224, 224), (333, 217), (512, 512), (1024, 1024), (2048, 2048))


class BareLoop:
    """The same network, loss and optimiser in plain PyTorch, on one batch.

    Args:
        width: of the network.
        images: uint8 (B, S, S, 3).
        labels: int64 (B,).
    """

    def __init__(self, width: float, images: np.ndarray, labels: np.ndarray):
        self._network = Colorizer(_NUM_CLASSES, NetworkOptions(width=width))
        self._optimiser = torch.optim.Adadelta(self._network.parameters(), rho=0.95, eps=1e-6)
        self._images, self._labels = torch.from_numpy(images), torch.from_numpy(labels)

    def step(self) -> None:
        """Once forth, back, and on."""
        rgb = self._images.permute(0, 3, 1, 2).float() / 255
        lightness, color = split(rgb, "lab")
        predicted, logits = self._network(lightness)
        assert logits is not None
        loss = F.mse_loss(predicted, F.avg_pool2d(color, 2))
        loss = loss + F.cross_entropy(logits, self._labels) / 300
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()


def training(
    data: Path, width: float, batch_size: int, steps: int, rounds: int, threads: int
) -> dict[str, Any]:
    """Both rates, and the median of their ratios.

    Args:
        data: prepared pictures.
        width: of the network.
        batch_size: of a step.
        steps: of a turn, a multiple of 10, at least 20.
        rounds: turns.
        threads: of both.
    """
    images, labels = _some(data, batch_size)
    bare = BareLoop(width, images, labels)
    torch.set_num_threads(threads)
    bare.step()
    turns = []
    for _ in range(rounds):
        own = _train(data, width, batch_size, steps, threads)
        number = max(steps // 3, 5)
        began = time.perf_counter()
        for _ in range(number):
            bare.step()
        turns.append((own, number * batch_size / (time.perf_counter() - began)))
    return _rates(turns) | {"batch_size": batch_size, "rounds": rounds}


def _train(data: Path, width: float, batch_size: int, steps: int, threads: int) -> float:
    """Images a second of the command, from its tenth step on."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "colorizer", "--data", str(data), "--run-dir", f"{folder}/run"]
        words += ["--width", str(width), "--batch-size", str(batch_size), "--steps", str(steps)]
        words += ["--num-workers", "1", "--num-cpus-per-worker", str(threads), "--seed", "1"]
        words += ["--validation-fraction", "0", "--checkpoint-period", str(10 * steps)]
        quiet = contextlib.redirect_stderr(io.StringIO())
        with contextlib.redirect_stdout(io.StringIO()), quiet as said:
            code = arcadia(words)
        assert code == 0, said.getvalue()
        rates = read_scalars(RunFolder.open(f"{folder}/run"))["train/images_per_s"][1][1:]
    return len(rates) / sum(1 / rate for rate in rates)


def loader(data: Path, batch_size: int, batches: int) -> dict[str, Any]:
    """Images a second of one decoding thread, and for each second of a core."""
    from pipelines.colorization.data import shares
    from pipelines.colorization.loading import Loader
    from pipelines.colorization.order import Order, Position, num_streams_for
    from pipelines.places import PreparedData

    share, _ = shares(PreparedData.open(str(data)), None, 0, 0)
    streams = num_streams_for(batch_size, 1)
    order = Order(share.rows, batch_size=batch_size, num_streams=streams, seed=0)
    with Loader(share.read, order, range(streams), Position(), crop=_CROP) as batch_loader:
        stream = iter(batch_loader)
        for _ in range(5):
            next(stream)
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(batches):
            next(stream)
        seconds, of_cores = time.perf_counter() - began, time.process_time() - cpu
    images = batches * batch_size
    return {"images_per_s": images / seconds, "images_per_core_s": images / of_cores}


def inference(
    files: Sequence[bytes], width: float, number: int, rounds: int, num_cpus: int
) -> dict[str, Any]:
    """Both rates, and the median of their ratios.

    Args:
        files: pictures of 256 x 256.
        width: of the network.
        number: pictures of a turn.
        rounds: turns.
        num_cpus: of the cluster; a worker and a bare process have as many threads.
    """
    network = Colorizer(_NUM_CLASSES, NetworkOptions(width=width)).eval()
    torch.set_num_threads(num_cpus)
    lightness = torch.rand(16, 1, 256, 256)
    turns = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        make_source(source, files, number)
        for _ in range(rounds):
            own = _color(source, network, num_cpus)
            turns.append((own, 16 / _seconds(lambda: network(lightness), number // 64 + 1)))
    return _rates(turns) | {"images": number, "rounds": rounds}


def _color(source: Path, network: Colorizer, num_cpus: int) -> float:
    """Images a second of one worker, from the first that is done to the last."""
    from arcadia.workers import Workers
    from pipelines.colorization.coloring import data
    from pipelines.colorization.coloring.plan import find, parts_of
    from pipelines.colorization.files import save_colorizer

    with tempfile.TemporaryDirectory() as folder:
        save_colorizer(network, Path(folder, "network"))
        Path(folder, "out").mkdir()
        plan = find([str(source)], f"{folder}/out")
        run = RunFolder.create(Path(folder, "run"), kind="colorize", config={}, seed=None)
        job = data.start(
            run.uri,
            plan.folder,
            parts_of(plan.items),
            Workers(number=1, num_cpus=num_cpus, num_gpus=0, num_neighbours=1),
            network=Path(folder, "network").read_bytes(),
            features=None,
            size=None,
            precision="float32",
            crf=18,
            smoothing=0.0,
        )
        began, before, seen = 0.0, 0, 0
        while not job.is_over:
            seen = int(sum(sum(told.values()) for told in job.latest().values()))
            if not began and seen:
                began, before = time.perf_counter(), seen
            job.wait(0.2)
        seconds = time.perf_counter() - began
        job.wait()
        problems = [row["problems"] for row in job.rows if row["problems"] != "[]"]
        assert not problems, problems
        assert began, "all pictures were done before the first was seen to be: give more"
    return (len(plan.items) - before) / seconds


def pieces(files: Sequence[bytes], width: float, rounds: int) -> dict[str, Any]:
    """Milliseconds a picture, in batches of 16, of each piece of colouring."""
    from arcadia.media import image_bytes, read_layers

    network = Colorizer(_NUM_CLASSES, NetworkOptions(width=width)).eval()
    images = [read_layers(data, "picture")[0] for data in files[:16]]
    rgb = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    lightness, _ = split(rgb, "lab")
    color = network.predict_color(lightness)
    work: dict[str, Callable[[], Any]] = {
        "read": lambda: [read_layers(data, "picture") for data in files[:16]],
        "split": lambda: split(rgb, "lab"),
        "network": lambda: network(lightness),
        "join": lambda: network.paint(lightness, color),
        "write": lambda: [image_bytes(image, ".jpg") for image in images],
    }
    return {f"{name}_ms": 1e3 * _seconds(do, rounds) / 16 for name, do in work.items()}


def sizes(width: float, rounds: int) -> dict[str, Any]:
    """Seconds of `Colorizer.colorize`, by the picture's size."""
    network = Colorizer(205, NetworkOptions(width=width)).eval()
    found = {}
    for wide, high in _SIZES:
        picture = torch.rand(1, 3, high, wide)
        few = 1 if wide > 1000 else rounds

        def color(picture: Tensor = picture) -> Tensor:
            return network.colorize(picture)

        found[f"{wide}x{high}_s"] = _seconds(color, few)
    return found


def _seconds(work: Callable[[], Any], times: int) -> float:
    """Median of a few, after one that does not count."""
    with torch.no_grad():
        work()
        spans = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            spans.append(time.perf_counter() - began)
    return statistics.median(spans)


def _rates(turns: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "arcadia_images_per_s": statistics.median(own for own, _ in turns),
        "bare_images_per_s": statistics.median(other for _, other in turns),
        "ratio": statistics.median(own / other for own, other in turns),
        "ratios": [round(float(own / other), 3) for own, other in turns],
    }


def _some(data: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of prepared pictures."""
    from pipelines.colorization.data import shares
    from pipelines.places import PreparedData

    share, _ = shares(PreparedData.open(str(data)), None, 0, 0)
    batches = list(share.centred_batches(_CROP, number))
    return np.concatenate([i for i, _ in batches]), np.concatenate([n for _, n in batches])


def _squared(data: bytes) -> bytes:
    """The middle of a picture whose short side is 256, as JPEG."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    top, left = (picture.shape[0] - 256) // 2, (picture.shape[1] - 256) // 2
    square = picture[top : top + 256, left : left + 256]
    return cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _prepared(files: Sequence[bytes], number: int, folder: Path) -> Path:
    """Prepared pictures of ten classes."""
    make_source(folder / "source", files, number)
    with contextlib.redirect_stdout(io.StringIO()):
        code = arcadia(["places", "prepare", str(folder / "source"), str(folder / "data")])
    assert code == 0
    return folder / "data"


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="of: training loader inference pieces sizes")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default: 5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if "ARCADIA_TEST_DATA" not in os.environ:
        parser.error("ARCADIA_TEST_DATA is not set: it names the folder of photographs")
    threads, rounds = options.threads, options.rounds
    where = machine() | {"torch": torch.__version__, "threads": threads}
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    cluster.connect()
    files = [_squared(f) for f in photographs(Path(os.environ["ARCADIA_TEST_DATA"]), 256)]
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = _prepared(files, 1024, Path(folder))
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "training_1": lambda: training(data, 1.0, 8, 20, min(rounds, 3), threads),
            "training_0.25": lambda: training(data, 0.25, 32, 60, rounds, threads),
            "loader": lambda: loader(data, 64, 60),
            "inference_1": lambda: inference(files, 1.0, 96, min(rounds, 3), threads),
            "inference_0.25": lambda: inference(files, 0.25, 512, rounds, threads),
            "pieces_0.25": lambda: pieces(files, 0.25, rounds),
            "sizes_1": lambda: sizes(1.0, rounds),
            "sizes_0.25": lambda: sizes(0.25, rounds),
        }
        for name, measure in measures.items():
            if options.only and name.partition("_")[0] not in options.only:
                continue
            found[name] = measure()
            shown = ", ".join(f"{k} {_shown(v)}" for k, v in found[name].items())
            goal = f" (goal: {GOALS[name]})" if name in GOALS else ""
            print(f"{name}: {shown}{goal}", flush=True)
    if options.json:
        ratios = {name: values["ratio"] for name, values in found.items() if "ratio" in values}
        print(json.dumps({"machine": where, "colorization": found, "ratios": ratios}))


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
