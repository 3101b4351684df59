"""`arcadia train sequence`: experiments with noisy activation functions."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arcadia.atomic import explained
from arcadia.errors import UserError, said_of
from arcadia.options import command_words, parse, peek
from arcadia.runs import RunFolder
from arcadia.training_options import (
    TrainingOptions,
    made_with_another,
    refuse_changes,
    refuse_move,
)
from arcadia.typed import from_json
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.evaluate import EvaluateSequenceOptions as EvaluateOptions

if TYPE_CHECKING:
    from arcadia.commands import ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

KIND = "sequence"

# What may differ when a run goes on: how often is looked and kept.
_MAY_CHANGE = ("validation_examples", "validation_period", "checkpoint_period")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingOptions):
    """Trains a network for one of the tasks by which noisy activation functions are judged
    (Gulcehre et al. 2016)."""

    data: tuple[str, ...] = ()
    """What the task learns from. language: a text file, or a folder with three, whose names have
    train, valid and test in them. translation: two text files, line by line the same in two
    languages. captions: a folder of pictures and a file of captions, as Flickr8k has them. images:
    MNIST's folder, or Parquet of pictures."""
    options: Annotated[SequenceOptions, tyro.conf.arg(name="")] = field(
        default_factory=SequenceOptions
    )


def train(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia train sequence`; what it returns, `TrainingRun.carry_out` says."""
    from pipelines.sequences.run import SequenceRun

    resume = peek(argv, "--resume")
    if resume is not None:
        run = RunFolder.open(resume)
        return SequenceRun(run, _resumed(argv, prog, run)).carry_out()
    command = parse(TrainOptions, argv, prog)
    if command.run_dir is not None:
        RunFolder.check_free(command.run_dir)
    seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
    return SequenceRun(None, command, seed, command_words(prog, argv)).carry_out()


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate RUN [RUN ...]`."""
    from pipelines.sequences.evaluate import evaluate

    return evaluate(runs, command)


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch RUN`: there is no policy to film."""
    raise UserError(
        f"{run.storage.shown()}: a sequence network does not play; arcadia evaluate judges it"
    )


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export RUN`: its checkpoints are files for others already."""
    raise UserError(
        f"{run.storage.shown()}: the network lies in its checkpoints as network.safetensors"
    )


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from pipelines.sequences.pages import headline

    return headline(run)


def report(run: RunFolder) -> Report:
    """`arcadia report RUN`."""
    from pipelines.sequences.pages import page

    return page(run)


def config_of(command: TrainOptions, data_hash: str) -> dict[str, Any]:
    """What decides the result; the hash is of the data."""
    return {
        "data": _absolute(command.data),
        "data_hash": data_hash,
        "options": dataclasses.asdict(command.options.resolved()),
    }


def hash_of(data: Sequence[str]) -> str:
    """Of all that is in files and folders, whatever their names; empty where there are none."""
    if not data:
        return ""
    found = hashlib.sha256()
    for place in data:
        path = Path(place)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            with explained("read", file), open(file, "rb") as opened:
                found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def _absolute(data: Sequence[str]) -> list[str]:
    """Workers, and whoever goes on, may stand in another folder."""
    return [os.path.abspath(place) for place in data]


def _resumed(argv: list[str], prog: str, run: RunFolder) -> TrainOptions:
    """The words of `--resume RUN`, which may not contradict it."""
    if run.kind != KIND:
        raise UserError(
            f"{run.storage.shown()}: a run of the kind {run.kind!r}, no sequence network's"
        )
    with said_of(run.storage.shown("config.json")):
        values = {name: run.config.get(name) for name in ("data", "options")}
        default = from_json(TrainOptions, values | {"resume": run.uri})
    command = parse(TrainOptions, argv, prog, default)
    refuse_move(run, default, command)
    if _absolute(command.data) != list(default.data):
        raise made_with_another("data", " ".join(command.data), run)
    may_change = _MAY_CHANGE
    if not default.options.hangs_on_steps:
        may_change = (*may_change, "steps")
    refuse_changes(default.options, command.options, run, may_change=may_change)
    return command
