"""What is to be painted: the videos, their frames and shots, found in one pass over each."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from arcadia.atomic import refuse_special
from arcadia.errors import UserError, did_you_mean
from arcadia.media import Source, VideoInfo, open_source, png_bytes, read_image, scaled_size
from arcadia.media.sequences import SUFFIXES as PICTURE_SUFFIXES
from arcadia.media.sequences import is_pattern, matching
from arcadia.media.shots import scan
from arcadia.media.video import SUFFIXES as VIDEO_SUFFIXES
from arcadia.runs import RunFolder
from arcadia.storage import Storage
from arcadia.typed import from_json
from pipelines.stylization.config import SHORTEST_SIDE_PX, StyleOptions
from pipelines.stylization.parts import Part, parts_of
from pipelines.stylization.shot_frames import ShotFrames

STYLE, STYLE_MAP = "style.png", "style_map.png"
_LEAD_FRAMES = 15
_BOUND = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>s?)")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One video of the command line."""

    name: str
    """Within the run; of two with the same file name they differ."""
    path: str
    """Absolute: workers, and whoever goes on, may stand in another folder."""
    output: str
    """Where the painted video goes: a file, or a folder or pattern of pictures; absolute."""


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """One video as every worker sees it."""

    name: str
    path: str
    output: str
    fps: Fraction
    """Of a sequence of pictures; a video has its own."""
    start: int
    """First frame that is painted."""
    stop: int
    """The one after the last."""
    times: tuple[Fraction, ...]
    """Of each frame, in seconds from the video's first."""
    can_seek: bool
    """Whether a frame is found by its time."""
    shots: tuple[tuple[int, int], ...]
    """Within [start, stop)."""
    size: tuple[int, int]
    """Height and width at which frames are painted."""
    reaches_end: bool
    """Whether the last frame is the video's own last one."""
    problem: str | None
    """What could not be read."""

    @property
    def num_frames(self) -> int:
        return self.stop - self.start

    def open(self) -> Source:
        """The video, to read it."""
        return open_source(self.path, fps=self.fps)

    def time(self, number: int) -> Fraction:
        """Of a frame, in seconds from the video's first."""
        return self.times[number - self.start]

    def frames(self, first: int, stop: int) -> ShotFrames:
        """Frames [first, stop) at the size at which they are painted."""
        return ShotFrames(
            self.open(), first, stop, self.time if self.can_seek else lambda number: None, self.size
        )

    def parts(self, options: StyleOptions) -> list[Part]:
        """What can be painted side by side."""
        return parts_of(
            self.name,
            self.shots,
            segment_frames=options.segment_frames,
            run_in=options.run_in,
        )

    def save(self, storage: Storage) -> None:
        """Puts it into the run's folder."""
        values = dataclasses.asdict(self)
        values["fps"] = str(self.fps)
        values["times"] = [str(time) for time in self.times]
        storage.write_bytes(_plan_name(self.name), json.dumps(values).encode())

    @classmethod
    def load(cls, storage: Storage, name: str) -> VideoPlan:
        """Reads what `save` wrote."""
        values = json.loads(storage.read_bytes(_plan_name(name)))
        values["fps"] = Fraction(values["fps"])
        values["times"] = tuple(Fraction(time) for time in values["times"])
        values["shots"] = tuple((start, stop) for start, stop in values["shots"])
        values["size"] = tuple(values["size"])
        return cls(**values)

    @classmethod
    def exists(cls, storage: Storage, name: str) -> bool:
        return storage.is_file(_plan_name(name))


def clips_of(config: Mapping[str, Any]) -> list[Clip]:
    """The videos that a run's config holds."""
    clips = config.get("clips")
    if not isinstance(clips, list):
        raise UserError(f"clips {str(clips)[:60]!r}: must be a list")
    return [from_json(Clip, clip, "clips") for clip in clips]


def find_clips(inputs: Sequence[str], output: str | None, style: str, ending: str) -> list[Clip]:
    """The videos that a command line names, and where each result goes.

    Args:
        inputs: video files, folders of them, folders of pictures, patterns such as `in/%04d.png`.
        output: a file (.mp4, .mov, .mkv), a pattern of pictures, or a folder for results under
            their own names; None: the current folder.
        style: the style's path, after which results are called.
        ending: what their names end with besides, such as "-preview".

    Raises:
        UserError: nothing of a name is there, or a folder holds no videos and no pictures.
    """
    paths = [path for name in inputs for path in _expanded(name)]
    used: set[str] = set()
    clips = []
    for path in paths:
        is_sequence = not Path(path).is_file()
        folder = Path(path).absolute()  # of ".", too, it has a name
        stem = folder.parent.name if is_sequence and is_pattern(path) else folder.stem
        name = _unused(re.sub(r"[^\w.-]+", "_", stem) or "video", used)
        made = f"{name}-{Path(style).stem}{ending}" + ("" if is_sequence else ".mp4")
        if output is None:
            target = made
        elif not _names_one(output):
            target = str(Path(output, made))
        elif len(paths) > 1:
            raise UserError(
                f"output {output}: of {len(paths)} videos it must be a folder; give its name"
            )
        else:
            target = output
        _check_apart(target, path, inputs)
        clips.append(Clip(name=name, path=os.path.abspath(path), output=os.path.abspath(target)))
    return clips


def _check_apart(target: str, path: str, inputs: Sequence[str]) -> None:
    """Refuses results in a folder of videos: the same words would take them for videos next."""
    folder, place = Path(path).parent, Path(target).parent
    was_found = path not in inputs and str(folder) in {str(Path(name)) for name in inputs}
    if was_found and place.is_dir() and place.samefile(folder):
        raise UserError(
            f"output {target}: would lie among the videos of {folder}; give another folder as "
            "--output"
        )


def _names_one(output: str) -> bool:
    """Whether the words name a video or a pattern of pictures; else they name a folder, which may
    not be there yet."""
    is_folder = output.endswith("/") or Path(output).is_dir() or not Path(output).suffix
    return is_pattern(output) or not is_folder


def _expanded(name: str) -> list[str]:
    """The videos that one word names."""
    path = Path(name)
    if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
        raise UserError(
            f"{name}: is a picture; give a video, a folder of pictures, or a pattern such as "
            "frames/%04d.png"
        )
    if path.is_file() or (is_pattern(name) and not path.exists()):
        return [name]
    if not path.exists():
        siblings = [s.name for s in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{name}: no such file or folder{did_you_mean(path.name, siblings)}")
    refuse_special(path)
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    videos = [str(file) for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    has_pictures = any(file.suffix.lower() in PICTURE_SUFFIXES for file in files)
    if videos and has_pictures:
        raise UserError(
            f"{name}: holds videos and pictures; name the videos themselves, or give the pictures "
            "by a pattern such as frames/%04d.png"
        )
    if not videos and not has_pictures:
        raise UserError(
            f"{name}: holds no video and no picture; give a video file or another folder"
        )
    return videos or [name]


def _unused(name: str, used: set[str]) -> str:
    chosen, number = name, 2
    while chosen.casefold() in used:
        chosen, number = f"{name}-{number}", number + 1
    used.add(chosen.casefold())
    return chosen


def preview_range(text: str | None, fps: Fraction) -> tuple[int, int | None]:
    """The frames that `START:STOP` names, STOP excluded.

    Each is a frame's number, or seconds with an s (`2s:4.5s`, at the average rate); an empty one is
    the video's own start or end.

    Raises:
        UserError: it cannot be read, or nothing lies between the two.
    """
    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    bounds = [_bound(side, fps) for side in (first, last)]
    if not colon or any(bound is False for bound in bounds):
        raise UserError(
            f'preview "{text}": want START:STOP in frames, such as 0:48, or in seconds, such as '
            "2s:4.5s"
        )
    start, stop = (None if bound is False else bound for bound in bounds)
    if stop is not None and stop <= (start or 0):
        raise UserError(f'preview "{text}": its end must lie behind its start')
    return start or 0, stop


def _bound(text: str, fps: Fraction) -> int | bool | None:
    """A frame's number; None for nothing; False for what cannot be read."""
    if not text:
        return None
    match = _BOUND.fullmatch(text)
    if match is None or (not match["unit"] and match[2]):
        return False
    return round(Fraction(match["number"]) * fps) if match["unit"] else int(match["number"])


def rate_of(fps: float | None) -> Fraction:
    """Frames per second of sequences of pictures."""
    return Fraction(25) if fps is None else Fraction(fps).limit_denominator(1001)


def num_to_read(info: VideoInfo, preview: str | None) -> int:
    """How many frames `plan_video` reads of a video."""
    start, stop = preview_range(preview, info.fps)
    return min(stop or info.num_frames, info.num_frames) - max(start - _LEAD_FRAMES, 0)


def stretch_of(
    clip: Clip, info: VideoInfo, options: StyleOptions, preview: str | None
) -> tuple[int, int | None, tuple[int, int]]:
    """First frame of a video that is painted, the one after the last, and height and width.

    Raises:
        UserError: it is too small, or the stretch lies outside.
    """
    start, stop = preview_range(preview, info.fps)
    if start >= info.num_frames:
        raise UserError(f'preview "{preview}": {clip.path} has {info.num_frames} frames')
    size = scaled_size(info.height, info.width, options.size)
    if min(size) < SHORTEST_SIDE_PX:
        raise UserError(
            f"{clip.path}: its frames would be painted at {size[1]} x {size[0]} pixels, and the "
            f"network needs at least {SHORTEST_SIDE_PX}; give a larger --size"
        )
    return start, stop, size


def check_clips(
    clips: Sequence[Clip],
    source_of: Callable[[Clip], Source],
    options: StyleOptions,
    preview: str | None,
) -> None:
    """Refuses videos of which none can be painted as was asked; raises what is wrong with each."""
    problems = []
    for clip in clips:
        try:
            stretch_of(clip, source_of(clip).info, options, preview)
        except UserError as error:
            problems.append(str(error))
    if len(problems) == len(clips):
        raise UserError("; ".join(problems))


def plan_video(
    clip: Clip,
    options: StyleOptions,
    *,
    fps: Fraction,
    preview: str | None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> VideoPlan:
    """Reads a video once, to know its frames and shots.

    Args:
        clip: the video.
        options: how it is painted.
        fps: of a sequence of pictures.
        preview: see `preview_range`.
        on_frame: called after each frame with how many are read, of `num_to_read`.

    Raises:
        UserError: it cannot be read at all, is too small, or the stretch lies outside.
    """
    source = open_source(clip.path, fps=fps)
    info = source.info
    start, stop, size = stretch_of(clip, info, options, preview)
    # A cut close behind where the detector begins is not told: it begins earlier.
    lead = min(start, _LEAD_FRAMES)
    found = scan(
        source,
        start - lead,
        stop,
        detector=None if options.detector == "none" else options.detector,
        threshold=options.threshold,
        on_frame=on_frame,
    )
    if found.shots[-1][1] <= start:
        raise UserError(f"{clip.path}: has no frame {start}; it ends after {found.shots[-1][1]}")
    return VideoPlan(
        name=clip.name,
        path=clip.path,
        output=clip.output,
        fps=fps,
        start=start,
        stop=found.shots[-1][1],
        times=found.times[lead:],
        can_seek=found.can_seek,
        shots=tuple((max(a, start), b) for a, b in found.shots if b > start),
        size=size,
        reaches_end=found.problem is None and (stop is None or stop >= info.num_frames),
        problem=found.problem,
    )


def stamp_of(path: str) -> list[int] | None:
    """Tells whether a file, a folder's files or those of a pattern were changed: their number,
    bytes, and latest change in ns. None when nothing is there."""
    place = Path(path)
    if is_pattern(place) and not place.exists():
        files = list(matching(place).values())
    else:
        files = [f for f in place.iterdir() if f.is_file()] if place.is_dir() else [place]
    stats = [file.stat() for file in files if file.exists()]
    if not stats:
        return None
    return [len(stats), sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)]


def save_style(run: RunFolder, style: str, style_map: str | None) -> None:
    """Puts the pictures into the run, where every worker finds them. UserError for what is none."""
    if style_map is not None:
        grey = cv2.cvtColor(read_image(style_map), cv2.COLOR_RGB2GRAY)
        run.write_bytes(STYLE_MAP, png_bytes(grey))
    # Last: where it is there, both are.
    run.write_bytes(STYLE, png_bytes(read_image(style)))


def read_style(storage: Storage) -> tuple[np.ndarray, np.ndarray | None]:
    """The style, uint8 (H, W, 3), and where it counts, float32 (H, W) in 0..1, if that is given."""
    style = _decoded(storage.read_bytes(STYLE), cv2.IMREAD_COLOR_RGB)
    if not storage.is_file(STYLE_MAP):
        return style, None
    grey = _decoded(storage.read_bytes(STYLE_MAP), cv2.IMREAD_GRAYSCALE)
    return style, grey.astype(np.float32) / 255


def _decoded(data: bytes, how: int) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), how)


def _plan_name(video: str) -> str:
    return f"videos/{video}/plan.json"
