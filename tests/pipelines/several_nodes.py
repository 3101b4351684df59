"""A job of a pipeline on three Ray nodes of one machine, one of which is taken away in mid-run; a
script.

    python -m tests.pipelines.several_nodes JOB FOLDER

Prints what `test_several_nodes.py` looks at, as one JSON object; run by it, in its environment.
"""

import contextlib
import functools
import io
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster
from ray.train.torch import TorchConfig, TorchTrainer

from arcadia import ray_train
from arcadia.cli import main as arcadia
from arcadia.demo import ASSETS
from arcadia.media import write_image
from tests.pipelines.pictures import colorful, make_film, make_pictures

_GPU_NODE = dict(num_cpus=2, num_gpus=1)


class Nodes:
    """The cluster's nodes by name, and which of a job's processes were seen on each."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.nodes = {name: cluster.add_node(**_GPU_NODE) for name in "abc"}
        self.before: dict[str, set[str]] = defaultdict(set)
        self.after: dict[str, set[str]] = defaultdict(set)
        self.gone = ""
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self, worker: str, until: Callable[[], bool]) -> None:
        """Looks on, in a thread; as soon as `until` says so, a node with such a worker goes."""
        self._watcher.start()
        threading.Thread(target=self._take_away, args=[worker, until], daemon=True).start()

    def stop(self) -> None:
        """Ends the looking on."""
        self._is_over.set()
        self._watcher.join()

    def _take_away(self, worker: str, until: Callable[[], bool]) -> None:
        homes: list[str] = []
        while not (until() and homes):
            time.sleep(0.02)
            homes = [name for name, seen in list(self.before.items()) if worker in seen]
        node = self.nodes.pop(homes[0])
        self.gone = homes[0]
        self.cluster.remove_node(node, allow_graceful=False)

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            seen = self.after if self.gone else self.before
            for name, node in list(self.nodes.items()):
                seen[name] |= set(_titles(node.all_processes["raylet"][0].process.pid))


def _titles(raylet: int) -> Iterator[str]:
    """What the workers of a node call themselves: the actor's class, or the task's name."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(raylet).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                title = process.cmdline()[0]
                if title.startswith("ray::") and title != "ray::IDLE":
                    yield title.removeprefix("ray::").split(".")[0]


def some(folder: Path, pattern: str, number: int = 1) -> Callable[[], bool]:
    """Whether so many files are there."""
    return lambda: len(list(folder.glob(pattern))) >= number


def places(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    make_pictures(folder / "photos", 600)
    words = f"places prepare {folder}/photos {folder}/out --size 64 --shard-images 10 --keep-grey"
    return words.split(), some(folder / "out", "parts/*.json", 8)


def colorizer(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    words = f"places prepare {make_pictures(folder / 'photos', 64)} {folder}/data --size 48"
    assert arcadia([*words.split(), "--keep-grey", "--row-group-images", "8"]) == 0
    words = (
        f"train colorizer --num-workers 2 --data {folder}/data --run-dir {folder}/run "
        "--width 0.05 --image-size 32 --batch-size 8 --steps 300 --checkpoint-period 20 "
        "--validation-period 300 --seed 1"
    )
    return words.split(), some(folder / "run", "checkpoints/*")


def sequence(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    words = (
        f"train sequence --num-workers 2 --run-dir {folder}/run --steps 300 --hidden-size 8 "
        "--batch-size 8 --checkpoint-period 20 --validation-period 300 --seed 1"
    )
    return words.split(), some(folder / "run", "checkpoints/*")


def colorize(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    make_pictures(folder / "photos", 300)
    words = (
        f"colorize {folder}/photos --weights {ASSETS / 'colorizer.safetensors'} --num-workers 2 "
        f"--output {folder}/out --run-dir {folder}/run"
    )
    return words.split(), some(folder / "out", "**/*-color.png", 10)


def stylize(folder: Path) -> tuple[list[str], Callable[[], bool]]:
    films = [make_film(folder / f"{'x' * n}.mp4", 12) for n in (1, 2, 3, 4)]
    write_image(folder / "style.png", colorful(64, 64, seed=9))
    words = (
        f"stylize {' '.join(map(str, films))} --style {folder}/style.png --output {folder}/out/ "
        f"--run-dir {folder}/run --preset draft --iterations 20 --size 96 --seed 1 --num-workers 2"
    )
    return words.split(), some(folder / "run", "videos/*/parts/*")


JOBS = {f.__name__: f for f in (places, colorizer, sequence, colorize, stylize)}
WORKERS = dict(places="Map(_prepare)", colorizer="RayTrainWorker", sequence="RayTrainWorker")
WORKERS |= dict(colorize="MapWorker(Map(Colorist))", stylize="MapWorker(Map(Painter))")
"""What processes call themselves that do the work."""


def _shown(seen: dict[str, set[str]]) -> dict[str, list[str]]:
    return {name: sorted(titles) for name, titles in seen.items()}


def main() -> None:
    job, folder = JOBS[sys.argv[1]], Path(sys.argv[2])
    # Without a card there is no NCCL, which Ray Train takes where workers have GPUs.
    gloo = functools.partialmethod(TorchTrainer.__init__, torch_config=TorchConfig(backend="gloo"))
    ray_train._Trainer.__init__ = gloo
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = Nodes(cluster)
    cluster.connect()
    words, until = job(folder)
    nodes.start(WORKERS[sys.argv[1]], until)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            code = arcadia([*words, "--json"])
    finally:
        nodes.stop()
        ray.shutdown()
        cluster.shutdown()
    told = {"code": code, "said": out.getvalue(), "gone": nodes.gone}
    told |= {"before": _shown(nodes.before), "after": _shown(nodes.after)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
