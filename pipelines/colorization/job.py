"""`arcadia train colorizer`: learns to colour pictures."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arcadia.errors import UserError, said_of
from arcadia.options import command_words, parse, peek
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.training_options import (
    TrainingOptions,
    made_with_another,
    refuse_changes,
    refuse_move,
)
from arcadia.typed import from_json
from pipelines.colorization.evaluate import EvaluateColorizerOptions as EvaluateOptions
from pipelines.colorization.options import ColorizerOptions

if TYPE_CHECKING:
    from arcadia.commands import ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

KIND = "colorizer"

# What may differ when a run goes on: how long it goes, and what is looked at on the way.
_MAY_CHANGE = ("steps", "validation_images", "validation_period", "checkpoint_period")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingOptions):
    """Trains a network that colours pictures (Iizuka et al. 2016) on pictures that `arcadia places
    prepare` has made ready."""

    data: str | None = None
    """Folder or address of the prepared pictures; required."""
    validation: str | None = None
    """Other prepared pictures to judge by; by default a part of the same is kept aside."""
    weights: str | None = None
    """File of a network to begin with, a colorizer.safetensors of the same --width and so on; where
    its classes are others, the classifier is a new one. By default all is new."""
    options: Annotated[ColorizerOptions, tyro.conf.arg(name="")] = field(
        default_factory=ColorizerOptions
    )


def train(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia train colorizer`.

    Returns:
        `run`, `steps`, `epochs`, `images_per_s`, `seconds` (of training, all attempts), the last
        validation's figures as `validation`, `best` (least ab-MSE), `status` and `report`.
    """
    from pipelines.colorization.run import ColorizerRun

    resume = peek(argv, "--resume")
    if resume is not None:
        run = RunFolder.open(resume)
        command = _resumed(argv, prog, run)
        return ColorizerRun(run, command).carry_out()
    command = parse(TrainOptions, argv, prog)
    if command.data is None:
        raise UserError("data: give --data with pictures that arcadia places prepare made ready")
    if command.run_dir is not None:
        RunFolder.check_free(command.run_dir)
    seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
    return ColorizerRun(None, command, seed, command_words(prog, argv)).carry_out()


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate RUN [RUN ...] --data DATA`."""
    from pipelines.colorization.evaluate import evaluate

    return evaluate(runs, command)


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch RUN`: there is no policy to film."""
    raise UserError(
        f"{run.storage.shown()}: a colorizer does not play; arcadia report shows its pictures, "
        "arcadia colorize colours others"
    )


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export RUN`: its checkpoints are files for others already."""
    raise UserError(
        f"{run.storage.shown()}: the network lies in its checkpoints as colorizer.safetensors"
    )


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from pipelines.colorization.pages import headline

    return headline(run)


def report(run: RunFolder) -> Report:
    """`arcadia report RUN`."""
    from pipelines.colorization.pages import page

    return page(run)


def config_of(command: TrainOptions, data_hash: str) -> dict[str, Any]:
    """What decides the result; the hash is of the pictures that are trained on."""
    return {
        "data": _address(command.data),
        "data_hash": data_hash,
        "validation": _address(command.validation),
        "weights": _address(command.weights),
        "options": dataclasses.asdict(command.options),
    }


def _address(data: str | None) -> str | None:
    """Absolute: workers, and whoever goes on, may stand in another folder."""
    return None if data is None else Storage.at(data).uri


def _resumed(argv: list[str], prog: str, run: RunFolder) -> TrainOptions:
    """The words of `--resume RUN`, which may not contradict it."""
    if run.kind != KIND:
        raise UserError(f"{run.storage.shown()}: a run of the kind {run.kind!r}, no colorizer's")
    names = ("data", "validation", "weights", "options")
    with said_of(run.storage.shown("config.json")):
        values = {name: run.config.get(name) for name in names}
        default = from_json(TrainOptions, values | {"resume": run.uri})
        if default.data is None:
            raise UserError("data None: must be where the pictures are")
    command = parse(TrainOptions, argv, prog, default)
    refuse_move(run, default, command)
    for name in ("data", "validation", "weights"):
        was, now = getattr(default, name), getattr(command, name)
        if was not in (now, _address(now)):
            raise made_with_another(name, now, run)
    refuse_changes(default.options, command.options, run, may_change=_MAY_CHANGE)
    return command
