"""`arcadia colorize INPUT... --run RUN`: colours photographs and films."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arcadia.errors import UserError, said_of
from arcadia.jsonable import jsonable
from arcadia.options import CommonOptions, command_words, parse, peek
from arcadia.precision import Precision
from arcadia.runs import RunFolder
from arcadia.typed import from_json

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions, ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report
    from pipelines.colorization.coloring.brush import Weights
    from pipelines.colorization.coloring.plan import Plan

KIND = "colorize"

_DECIDING = (
    *("inputs", "output", "run", "weights", "checkpoint", "style_from"),
    *("smoothing", "size", "precision", "crf"),
)
"""The words that decide the results."""


@dataclass(frozen=True, kw_only=True)
class ColorizeOptions(CommonOptions):
    """Colours photographs and films with a network that `arcadia train colorizer` trained (Iizuka
    et al. 2016). Their lightness is kept, of films also sound, frame times and range of levels.
    Interrupted and started again with the same words, it goes on where it was."""

    inputs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="(required)"),
    ] = ()
    """Pictures, films, folders of them (with all that is below), patterns such as 'old/*.jpg', or
    s3:// and gs:// addresses of these."""
    run: str | None = None
    """Training run whose network colours."""
    weights: str | None = None
    """File of a network, colorizer.safetensors, instead of a run."""
    checkpoint: str = "last"
    """Of the run: last, best (the one that did best in validation), or a step."""
    output: str | None = None
    """File, for a single input, or folder or s3:// or gs:// address for NAME-color.jpg (of JPEG),
    NAME-color.png (of other pictures, with their transparency) and NAME-color.mp4 (of films; .mkv
    where MP4 cannot hold their sound); by default the current folder. Below a folder that is an
    input, its tree is kept."""
    overwrite: bool = False
    """Replace results that are there. Inputs are never written over."""
    style_from: str | None = None
    """Picture whose global features are borrowed: what it shows, such as a season or a time of day,
    decides the colours."""
    smoothing: float = 0.0
    """Of films: how much of a frame's colours comes from the frames before it, along the motion,
    from 0 to below 1; steadies colours that flicker, at about 0.8."""
    size: int | None = None
    """Longest side in pixels at which the network sees a picture; the colours of larger ones are
    those of their smaller copy, in less time and memory, their lightness is that of each pixel. By
    default their own size, as in the paper."""
    precision: Precision = "auto"
    """Arithmetic of the network: float32, bfloat16, float16; auto is the fast one of a GPU, and
    float32 on a CPU."""
    crf: int = 18
    """Quality of films that are written, 0 (lossless) to 51."""
    resume: str | None = None
    """Run of this command to go on with; the same words as before find it by themselves."""
    num_workers: int | None = None
    """Processes side by side; by default one for each GPU of the cluster, or without GPUs as many
    as there are CPUs and parts of the work."""
    num_gpus_per_worker: float | None = None
    """GPUs of each, or a fraction of one that several share; by default 1 where there are any."""
    num_cpus_per_worker: int | None = None
    """CPUs of each, which are its threads without a GPU; by default they are shared out evenly."""
    user_study: str | None = None
    """Instead of colouring inputs: folder of pictures in colour, or prepared data, of which the
    paper's user study is made, a page that asks of true and coloured pictures whether they look
    real. --output names it, by default study.html."""
    study_baseline: str | None = None
    """Second training run, such as one without global features, whose pictures are asked about,
    too."""
    study_images: int = 60
    """Pictures of the study, shared out evenly among its kinds; each is shown once."""
    study_seconds: float = 1.0
    """How long each is shown."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("smoothing", 0, 0.99),
            ("size", 8, 1e5),
            ("crf", 0, 51),
            ("num_workers", 1, 1e5),
            ("num_gpus_per_worker", 0, 64),
            ("num_cpus_per_worker", 1, 1e4),
            ("study_images", 2, 1e4),
            ("study_seconds", 0.02, 60),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"{name} {value}: must be from {low:g} to {high:g}")


def colorize(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia colorize`.

    Returns:
        `run`; `outputs`, the paths of results that are there; `images`, `films` (how many of each),
        `frames` (of films), `colored` (pictures and frames of this call), `seconds`,
        `images_per_s` (of this call's, frames counted), `report`, and `problems`, a list of lines.
        Of a user study: `study`, its path, and `images`, how many of each kind.

    Raises:
        Incomplete: something could not be read or coloured; the rest is done.
    """
    resume = peek(argv, "--resume")
    if resume is not None:
        return _go_on(argv, prog, RunFolder.open(resume))
    command = parse(ColorizeOptions, argv, prog)
    if command.user_study is not None:
        from pipelines.colorization.coloring.study import make_study

        return make_study(command)
    return _color(command, command_words(prog, argv))


def _color(command: ColorizeOptions, words: Sequence[str], run: RunFolder | None = None) -> Any:
    from pipelines.colorization.coloring.brush import find_weights
    from pipelines.colorization.coloring.plan import find
    from pipelines.colorization.coloring.run import Coloring

    if not command.inputs:
        raise UserError("INPUT: give at least one picture, film, folder or pattern")
    weights = find_weights(command.run, command.weights, command.checkpoint)
    plan = find(command.inputs, command.output)
    config = _config(command, weights, plan)
    if run is None:
        run_dir = command.run_dir or f"runs/{KIND}-{_label(plan)}-{config['id'][:8]}"
        if not RunFolder.is_run(run_dir):
            create = functools.partial(
                RunFolder.create, run_dir, kind=KIND, config=config, seed=None, command=words
            )
            free = RunFolder.check_free(run_dir)
            return Coloring(free, command, weights, plan, create).carry_out()
        run = RunFolder.open(run_dir)
    _check_same(run, config)
    return Coloring(run, command, weights, plan).carry_out()


def _go_on(argv: list[str], prog: str, run: RunFolder) -> dict[str, Any]:
    """`--resume RUN`: other words are refused."""
    if run.kind != KIND:
        raise UserError(f"{run.storage.shown()}: a run of the kind {run.kind!r}, no colouring")
    with said_of(run.storage.shown("config.json")):
        words = {name: run.config.get(name) for name in _DECIDING}
        default = from_json(ColorizeOptions, words | {"resume": run.uri})
    command = parse(ColorizeOptions, argv, prog, default)
    for name in (*_DECIDING, "run_dir"):
        was, now = getattr(default, name), getattr(command, name)
        if was != now:
            raise UserError(
                f"{name} {now}: the run {run.storage.shown()} was made with another; leave it out "
                "with --resume, or start a new run"
            )
    return _color(command, [], run)


def _config(command: ColorizeOptions, weights: Weights, plan: Plan) -> dict[str, Any]:
    """What decides the results, and `id`, the same for the same words on the same files."""
    words = {name: getattr(command, name) for name in _DECIDING}
    for name in ("run", "weights", "style_from"):
        if words[name] is not None and "://" not in words[name]:
            words[name] = os.path.abspath(words[name])
    if weights.step is not None:
        words["checkpoint"] = str(weights.step)  # "last" may be another one next time
    if command.output is None or "://" not in command.output:
        words["output"] = os.path.abspath(command.output or plan.folder)
        if command.output is not None and command.output.endswith("/"):
            words["output"] += "/"
    words["inputs"] = [
        i if "://" in i else os.path.abspath(os.path.expanduser(i)) for i in command.inputs
    ]
    stamps = dict(plan.stamps)
    state = [
        repr(sorted(words.items())),
        repr([dataclasses.astuple(item) for item in plan.items]),
        repr([stamps[item.source] for item in plan.items]),
        weights.sha256,
    ]
    id = hashlib.sha256("\n".join(state).encode()).hexdigest()
    return words | {"network_sha256": weights.sha256, "items": len(plan.items), "id": id}


def _check_same(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuses to go on in a run of other words or other files."""
    if run.kind != KIND:
        RunFolder.check_free(run.storage)
    was, now = jsonable(run.config), jsonable(config)
    if was.get("id") == now["id"]:
        return
    differing = [name for name in now if name != "id" and now[name] != was.get(name)]
    what = ", ".join(differing) or "files that were changed since"
    raise UserError(
        f"{run.storage.shown()}: holds a run with other words ({what}); choose another --run-dir"
    )


def _label(plan: Plan) -> str:
    names = [PurePosixPath(item.output).stem.removesuffix("-color") for item in plan.items]
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in names[0])
    return f"{name}-and-{len(names) - 1}" if len(names) > 1 else name


# What the commands that look at runs do with this kind; see `arcadia.jobs`.


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate`: there is no truth to compare with."""
    raise UserError(
        f"{runs[0].storage.shown()}: coloured pictures have no truth to be compared with; evaluate "
        "the training run with --data"
    )


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch`: the results are there to be looked at."""
    raise UserError(
        f"{run.storage.shown()}: its results are files already; arcadia report shows them beside "
        "their sources"
    )


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export`: nothing was trained."""
    raise UserError(
        f"{run.storage.shown()}: coloured pictures; the network lies in the training run"
    )


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from pipelines.colorization.coloring.pages import headline

    return headline(run)


def report(run: RunFolder) -> Report:
    """`arcadia report`: inputs and results side by side."""
    from pipelines.colorization.coloring.pages import page

    return page(run)
