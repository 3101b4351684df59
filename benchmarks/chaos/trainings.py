"""Ray Train's workers: two of them learn to colour, or to count."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import load_file

from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from benchmarks.chaos.call import carry_out
from benchmarks.chaos.counters import (
    Kept,
    beyond_checkpoints,
    falling,
    falls_in,
    gaps,
    read_attempts,
    rewinds,
)
from benchmarks.chaos.kind import Ended, Kind, last_checkpoint
from benchmarks.chaos.made import write_pictures

_ENDLESS = 1_000_000_000  # steps: how far it is to go is said when it is begun again
_MORE = 1.25  # of what is done when the command is killed
_LOG_PERIOD = 10  # of `arcadia.training_loop`
_WORKERS = ("--num-workers", "2", "--num-cpus-per-worker", "1", "--max-failures", "100", "--json")


class Training(Kind):
    """What both have in common. A training that was killed comes to what the straight one does,
    bit by bit: each worker has one thread."""

    unit = "steps"
    network: ClassVar[str]
    """File of a checkpoint with its weights."""
    rising: ClassVar[tuple[str, ...]] = ()
    """Tags of counters that never fall, over all attempts."""

    @abstractmethod
    def options(self) -> list[str]:
        """Words that decide what comes of it."""

    def prepare(self) -> None:
        self._until = 0

    def words(self) -> list[str]:
        return self._from_the_start("run", _ENDLESS)

    def again(self, *, to_the_end: bool) -> list[str]:
        words = ["train", self.name, "--resume", str(self.run), *_WORKERS]
        if to_the_end:
            self._until = int(self.done() * _MORE)
            words += ["--steps", str(self._until)]
        return words

    def done(self) -> int:
        return last_checkpoint(self.run)

    def missing(self, ended: Ended) -> list[str]:
        run = RunFolder.open(self.run)
        attempts, history = read_attempts(run), read_scalars(run)
        kept = [Kept(blow.at, blow.done) for blow in ended.blows]
        found = []
        if ended.result["steps"] != self._until or run.status != "completed":
            found.append(
                f"{ended.result['steps']:,} of {self._until:,} steps were made; the run is "
                f"{run.status}"
            )
        found += beyond_checkpoints(attempts, kept)
        found += falling(attempts, "faults/") + falls_in(history, self.rising)
        losses = history.get("train/loss", (np.zeros(0), np.zeros(0)))
        found += gaps([int(step) for step in losses[0]], self._until, _LOG_PERIOD)
        return found + unlogged(ended) + self._differences()

    def rewound(self, ended: Ended) -> str:
        again = [rewind.steps for rewind in rewinds(read_attempts(RunFolder.open(self.run)))]
        return f"{sum(again):,} steps"

    def _from_the_start(self, run: str, steps: int) -> list[str]:
        words = ["train", self.name, "--run-dir", run, "--steps", str(steps), "--seed", "1"]
        return [*words, *self.options(), *_WORKERS]

    def _differences(self) -> list[str]:
        """From a run of as many steps that nothing happens to."""
        carry_out(self.folder, self._from_the_start("straight", self._until))
        runs = [RunFolder.open(self.folder / name) for name in ("run", "straight")]
        (steps, losses), (right_steps, right) = (read_scalars(run)["train/loss"] for run in runs)
        found = []
        if not np.array_equal(steps, right_steps) or not np.array_equal(losses, right):
            found.append("its losses are not those of the run that nothing happened to")
        # Not the files: safetensors writes what is said of the tensors in any order.
        own, right_own = (load_file(run.find_checkpoint()[0] / self.network) for run in runs)
        if own.keys() != right_own.keys() or not all(
            torch.equal(own[name], right_own[name]) for name in own
        ):
            found.append("its weights are not those of the run that nothing happened to")
        return found


class Colorizer(Training):
    name = "colorizer"
    network = "colorizer.safetensors"
    rising = ("train/epoch",)

    def prepare(self) -> None:
        super().prepare()
        write_pictures(self.folder / "pictures", 96, side=40)
        words = ["places", "prepare", "pictures", "data", "--size", "40", "--row-group-images", "8"]
        carry_out(self.folder, [*words, "--seed", "3", "--json"])

    def options(self) -> list[str]:
        words = ["--data", "data", "--image-size", "32", "--width", "0.1", "--batch-size", "16"]
        words += ["--optimizer", "adam", "--validation-period", "200", "--checkpoint-period", "20"]
        return words


class Sequence(Training):
    name = "sequence"
    network = "network.safetensors"

    def options(self) -> list[str]:
        words = ["--task", "unique_integers", "--activation", "nan", "--batch-size", "64"]
        words += ["--validation-examples", "200", "--validation-period", "400"]
        return [*words, "--checkpoint-period", "50"]


def unlogged(ended: Ended) -> list[str]:
    """Deaths of workers, or of what Ray Train controls them with, that nothing was said of."""
    own = ("RayTrainWorker", "TrainController")
    killed = sum(blow.victim.startswith(own) and not blow.ended for blow in ended.blows)
    told = len(re.findall(r"Workers died \(\d+ of \d+ times", ended.said))
    if told >= killed:
        return []
    return [f"{killed} workers were killed, and {told} deaths were told"]
