"""`arcadia stylize VIDEO... --style IMAGE`: paints videos in a picture's style."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from arcadia.errors import UserError, said_of
from arcadia.jsonable import jsonable
from arcadia.options import CommonOptions, command_words, parse, peek
from arcadia.runs import RunFolder
from arcadia.typed import from_json
from pipelines.stylization.config import StyleOptions, preset
from pipelines.stylization.plan import Clip, clips_of, find_clips, stamp_of
from pipelines.stylization.run import Stylization

if TYPE_CHECKING:
    from arcadia.commands import EvaluateOptions, ExportOptions, WatchOptions
    from arcadia.headline import Headline
    from arcadia.report import Report

KIND = "stylize"


@dataclass(frozen=True, kw_only=True)
class StylizeOptions(CommonOptions):
    """Paints videos in the style of a picture, without flicker (Ruder et al. 2016). Sound, frame
    rate and colour range are kept. Interrupted and started again with the same words, it goes on
    where it was."""

    videos: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="VIDEO [VIDEO ...]", help_behavior_hint="(required)"),
    ] = ()
    """Video files, folders of them, folders of pictures, or patterns such as frames/%04d.png."""
    style: str | None = None
    """Picture in whose style is painted; required."""
    output: str | None = None
    """File (.mp4, .mov, .mkv), pattern of pictures (out/%05d.png), or a folder, which gets
    VIDEO-STYLE.mp4; by default the current one."""
    overwrite: bool = False
    """Replace an output that is there. The source is never written over."""
    preview: str | None = None
    """Only a stretch, START:STOP in frames (0:48) or seconds (2s:4.5s)."""
    preset: str = "ruder2016"
    """Where the defaults below come from: ruder2016 (the paper's single pass), multipass (its
    several passes), fast (512 px, a tenth of the iterations) or draft (192 px, a first look)."""
    resume: str | None = None
    """Run to go on with; the same words as before find it by themselves."""
    estimate: bool = False
    """Say what it would take, and end there."""
    fps: float | None = None
    """Frames per second of sequences of pictures, by default 25; a video has its own."""
    crf: int = 18
    """Quality of the video that is written, 0 (lossless) to 51."""
    num_workers: int | None = None
    """Painters side by side, each with a shot of its own; by default one for each GPU of the
    cluster, or without GPUs as many as there are CPUs and shots."""
    num_gpus_per_worker: float | None = None
    """GPUs of each, or a fraction of one that several share; by default 1 where there are any."""
    num_cpus_per_worker: int | None = None
    """CPUs of each, which are its threads without a GPU; by default they are shared out evenly."""
    keep_frames: bool = False
    """Keep the painted frames and the flow in the run when the videos are written."""
    options: Annotated[StyleOptions, tyro.conf.arg(name="")] = field(default_factory=StyleOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("fps", 0.001, 1e4),
            ("crf", 0, 51),
            ("num_workers", 1, 1e5),
            ("num_gpus_per_worker", 0, 64),
            ("num_cpus_per_worker", 1, 1e4),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"{name} {value}: must be from {low:g} to {high:g}")


def stylize(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia stylize`.

    Returns:
        `run`; `outputs`, one path a video; `frames`, `frames_painted` (by this call, each pass and
        those of a run-in counted), `shots`, `seconds`, `seconds_per_frame` (mean over this call's),
        `warping_error_lai` (mean over videos), `report`, and `problems`, a list of lines.

    Raises:
        Incomplete: something could not be read or painted; the rest is done.
    """
    resume = peek(argv, "--resume")
    if resume is not None:
        return _go_on(argv, prog, RunFolder.open(resume))
    name = peek(argv, "--preset") or "ruder2016"
    default = StylizeOptions(preset=name, options=preset(name))
    command = _placed(parse(StylizeOptions, argv, prog, default))
    _check(command)
    assert command.style is not None
    ending = "-preview" if command.preview else ""
    clips = find_clips(command.videos, command.output, command.style, ending)
    _check_files(command.options)
    config = _config(command, clips)
    run_dir = command.run_dir or f"runs/{KIND}-{_label(clips, command.style)}-{config['id'][:8]}"
    if RunFolder.is_run(run_dir):
        run = RunFolder.open(run_dir)
        _check_same(run, config)
        return Stylization(run, command, run.config).carry_out()
    seed = command.seed if command.seed is not None else random.SystemRandom().randrange(2**31)
    create = functools.partial(
        RunFolder.create,
        run_dir,
        kind=KIND,
        config=config,
        seed=seed,
        command=command_words(prog, argv),
    )
    return Stylization(RunFolder.check_free(run_dir), command, config, create).carry_out()


def _go_on(argv: list[str], prog: str, run: RunFolder) -> dict[str, Any]:
    """`--resume RUN`: what is painted stays as it is in the run; other words are refused."""
    if run.kind != KIND:
        raise UserError(f"{run.storage.shown()}: a run of the kind {run.kind!r}, no stylization")
    config = run.config
    names = ("videos", "style", "output", "preview", "preset", "fps", "options")
    with said_of(run.storage.shown("config.json")):
        values = {name: config.get(name) for name in names} | {"resume": run.uri}
        if "crf" in config:  # not in a run from before it was kept
            values["crf"] = config["crf"]
        default = from_json(StylizeOptions, values)
        clips_of(config)
    command = _placed(parse(StylizeOptions, argv, prog, default))
    same = ("videos", "style", "output", "preview", "preset", "fps", "options", "seed", "run_dir")
    for name in same:
        was, now = getattr(default, name), getattr(command, name)
        if now != was and not (name == "seed" and now == run.seed):
            raise UserError(
                f"{name}: the run {run.storage.shown()} was made with another; leave it out with "
                "--resume, or start a new run"
            )
    _check_files(command.options)
    _check_unchanged(run, jsonable(_stamps(config)))
    return Stylization(run, command, config).carry_out()


def _placed(command: StylizeOptions) -> StylizeOptions:
    """With absolute paths where workers read them, who may stand in another folder."""
    options = command.options
    names = {
        name: os.path.abspath(path)
        for name in ("weights", "flow_dir")
        if (path := getattr(options, name)) is not None
    }
    return dataclasses.replace(command, options=dataclasses.replace(options, **names))


def _check(command: StylizeOptions) -> None:
    if not command.videos:
        raise UserError("VIDEO: give at least one video, folder or pattern")
    if command.style is None:
        raise UserError("style: give --style with a picture, such as --style starry_night.jpg")


def _check_files(options: StyleOptions) -> None:
    """Looks at what the options name before anything else is done."""
    from pipelines.stylization.networks import check_vgg

    check_vgg(options.network, [*options.content_layers, *options.style_layers], options.weights)
    if options.flow_dir is not None and not Path(options.flow_dir).is_dir():
        raise UserError(f"flow_dir {options.flow_dir}: no such folder; give one of .flo files")


def _config(command: StylizeOptions, clips: Sequence[Clip]) -> dict[str, Any]:
    """What decides the result, and `id`, the same for the same words on the same files."""
    config: dict[str, Any] = {
        "videos": list(command.videos),
        "style": command.style,
        "output": command.output,
        "preview": command.preview,
        "preset": command.preset,
        "fps": command.fps,
        "clips": [dataclasses.asdict(clip) for clip in clips],
        "options": dataclasses.asdict(command.options),
    }
    config["files"] = _stamps(config)
    state = [repr(sorted(config.items())), str(command.seed)]
    # Quality decides no picture: `--resume` alone takes it from here, other words may differ.
    config["crf"] = command.crf
    return config | {"id": hashlib.sha256("\n".join(state).encode()).hexdigest()}


def _stamps(config: Mapping[str, Any]) -> dict[str, Any]:
    """Tells whether a file that decides the result was changed; see `stamp_of`."""
    options = config["options"]
    files = [config["style"], options["style_weight_map"], options["weights"], options["flow_dir"]]
    files += [clip["path"] for clip in config["clips"]]
    return {os.path.abspath(file): stamp_of(file) for file in files if file is not None}


def _check_same(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Refuses to go on in a run of other words or other files."""
    if run.kind != KIND:
        RunFolder.check_free(run.storage)
    was = jsonable(run.config)
    if was.get("id") == config["id"]:
        return
    now = jsonable(config)
    _check_unchanged(run, now["files"])
    other = [name for name in now if name not in ("id", "options", "files", "clips", "crf")]
    differing = [name for name in other if now[name] != was.get(name)]
    old = was.get("options", {})
    differing += [name for name in now["options"] if now["options"][name] != old.get(name)]
    what = ", ".join(differing) or "the seed or the current folder"
    raise UserError(
        f"{run.storage.shown()}: holds a run with other words ({what}); choose another --run-dir"
    )


def _check_unchanged(run: RunFolder, files: Mapping[str, Any]) -> None:
    """Refuses files that are not what they were. One that is gone may not be needed any more."""
    for file, was in run.config.get("files", {}).items():
        if files.get(file) not in (None, was):
            raise UserError(
                f"{file}: was changed since the run {run.storage.shown()} began; start a new run"
            )


def _label(clips: Sequence[Clip], style: str) -> str:
    more = f"-and-{len(clips) - 1}" if len(clips) > 1 else ""
    return f"{clips[0].name}{more}-{Path(style).stem}"


# What the commands that look at runs do with this kind; see `arcadia.jobs`.


def evaluate(runs: Sequence[RunFolder], command: EvaluateOptions) -> dict[str, Any]:
    """`arcadia evaluate`: there is no policy to play."""
    raise UserError(
        f"{runs[0].storage.shown()}: painted videos have no policy to evaluate; arcadia report "
        "shows their warping errors"
    )


def watch(run: RunFolder, command: WatchOptions) -> dict[str, Any]:
    """`arcadia watch`: the run's videos are there to be played."""
    raise UserError(
        f"{run.storage.shown()}: its videos are files already; arcadia report shows them beside "
        "their sources"
    )


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """`arcadia export`: nothing was trained."""
    raise UserError(f"{run.storage.shown()}: painted videos; there is no network to export")


def headline(run: RunFolder) -> Headline:
    """What an index says of the run."""
    from pipelines.stylization.pages import headline

    return headline(run)


def report(run: RunFolder) -> Report:
    """`arcadia report`: source, style and result side by side, flow and masks, errors."""
    from pipelines.stylization.pages import page

    return page(run)
