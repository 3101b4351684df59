"""Clips painted in several ways, frame by frame into a folder, so that an interrupted run goes on;
and pictures of them.

    DIR/settings.json                                        what all of it was painted with
    DIR/flow/<clip>/                                         the flow that was painted with
    DIR/<style>/<clip>/<variant>/videos/<clip>/frames/*.png  frames
    DIR/<style>/<clip>/<variant>/videos/<clip>/parts/*.json  what is finished of them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arcadia.errors import UserError
from arcadia.media import VideoWriter, draw_label, open_source, resized, scaled_size
from arcadia.storage import Storage
from pipelines.flow import FlowMethod, Motions, MovingScene, estimate_flow, resize_flow
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.parts import Part
from pipelines.stylization.results import FrameFiles, Manifest
from pipelines.stylization.stylizer import Stylizer
from pipelines.stylization.sweeps import Work, paint

FlowOf = Callable[[int, int], np.ndarray]

PAN = "pan"
# File, first frame, longest side over --size. Of each shot the stretch that moves most, so that
# there is something to hide and to show again.
_VIDEOS: Mapping[str, tuple[str, int, float]] = {
    "bikes": ("bikes.mp4", 54, 1.0),
    "carphone": ("carphone_pristine.mp4", 76, 0.875),
    "bigbuckbunny": ("bigbuckbunny.mp4", 36, 1.0),
    "tree": ("tree.avi", 56, 1.0),
}
CLIPS = (*_VIDEOS, PAN)
DEFAULT_CLIPS = "bikes", "carphone", "bigbuckbunny", PAN
PAINTED_WITH: FlowMethod = "dis_fine"
# The first is what the tables are of. Both see the source at its own size: of the methods that are
# not painted with, so they bring the source's frames nearest to each other.
_MEASURED_WITH: tuple[FlowMethod, ...] = ("dis_medium", "farneback")

RANDOM, MULTIPASS = "random", "multipass"
_VARIANTS: Mapping[str, dict[str, Any]] = {
    RANDOM: dict(start="random", spans=()),
    "previous": dict(start="previous", spans=()),
    "warped": dict(start="warped", spans=()),
    "short": dict(start="warped", spans=(1,)),
    "long": dict(start="warped", spans=(1, 2, 4)),
}
VARIANTS = tuple(_VARIANTS)

SOURCE = "source"
SHOWN: Mapping[str, str] = {
    SOURCE: "source",
    RANDOM: "frame by frame",
    "warped": "warped",
    "long": "temporal",
}
"""What pictures show, and its label."""
_ENLARGED, _SHOWN_FPS, _ROUNDS = 2, 8, 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What everything in a folder was painted with."""

    frames: int = 10
    """Of each clip."""
    size: int = 128
    """Longest side in pixels (carphone's a little less)."""
    iterations: int = 60
    """Of each frame but the first, in every variant; none is ended early."""
    iterations_first: int = 120
    passes: int = 3
    """Of the multi-pass algorithm, which share the iterations of a frame."""
    seed: int = 0

    def save(self, out: Path) -> None:
        """Keeps them in a folder. UserError when it holds others."""
        path = out / "settings.json"
        if path.exists():
            kept = Settings(**json.loads(path.read_text()))
            if kept != self:
                raise UserError(f"{out}: was painted with {kept}; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    def options(self, variant: str) -> StyleOptions:
        """Of a variant; all the rest is the paper's."""
        values: dict[str, Any] = dict(
            iterations=self.iterations,
            iterations_first=self.iterations_first,
            stop_change=0,
            flow=PAINTED_WITH,
        )
        if variant != MULTIPASS:
            return StyleOptions(**values | _VARIANTS[variant])
        # As many iterations in all; the temporal loss from the middle on, as in the paper.
        return StyleOptions(
            **values,
            spans=(1,),
            passes=self.passes,
            pass_iterations=max(self.iterations // self.passes, 1),
            temporal_from_pass=self.passes // 2 + 1,
        )


@dataclass(frozen=True, kw_only=True)
class Footage:
    """A clip as it is painted, and what its motion is measured with."""

    name: str
    frames: list[np.ndarray]
    """uint8 (H, W, 3)."""
    flows: Mapping[str, FlowOf]
    """By name, of frame a to frame b on a's grid, float32 (2, H, W); not those painted with."""

    def __getitem__(self, number: int) -> np.ndarray:
        """A frame, counted from 0."""
        return self.frames[number]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width, _ = self.frames[0].shape
        return height, width

    def measuring(self) -> dict[str, Motions]:
        """The motions to measure with, by name."""
        height, width = self.size
        return {
            name: Motions(
                flow,
                None,
                self.__getitem__,
                height=height,
                width=width,
                num_kept=4 * len(self.frames),
            )
            for name, flow in self.flows.items()
        }

    def part(self) -> Part:
        """All of it."""
        stop = len(self.frames)
        return Part(
            video=self.name,
            number=0,
            shot=0,
            first=0,
            start=0,
            stop=stop,
            shot_start=0,
            shot_stop=stop,
        )


def read_clip(name: str, data: Path, settings: Settings) -> Footage:
    """A clip by its name: `pan`, or one of the folder of videos.

    `pan` is a `MovingScene`: ground that pans, and a disc that passes before it so fast that what
    it hides is seen again two to four frames later.
    """
    if name == PAN:
        height, width = settings.size * 9 // 16, settings.size
        scene = MovingScene(
            height=height,
            width=width,
            radius=height / 6,
            pan=(3.0 * width / 128, 0.5 * width / 128),
            velocity=(-6.5 * width / 128, 1.0 * width / 128),
            center=(width * 0.88, height * 0.35),
        )
        frames = [scene.frame(number) for number in range(settings.frames)]
        return Footage(name=name, frames=frames, flows={"exact": scene.flow})
    file, start, scale = _VIDEOS[name]
    source = open_source(data / "videos" / file)
    whole = [frame.image for frame in source.frames(start, start + settings.frames)]
    height, width, _ = whole[0].shape
    size = scaled_size(height, width, round(settings.size * scale))
    return Footage(
        name=name,
        frames=[resized(image, size) for image in whole],
        flows={method: _flow_of(whole, method, size) for method in _MEASURED_WITH},
    )


def _flow_of(frames: list[np.ndarray], method: FlowMethod, size: tuple[int, int]) -> FlowOf:
    return lambda a, b: resize_flow(estimate_flow(frames[a], frames[b], method), *size)


class Painting:
    """One clip in one style by one variant, as far as it is painted.

    Args:
        out: the folder of the whole benchmark.
        style: the name of the style.
        footage: the clip.
        variant: of `VARIANTS`, or `MULTIPASS`.
    """

    def __init__(self, out: Path, style: str, footage: Footage, variant: str):
        self._out, self._footage, self.variant = out, footage, variant
        self._folder = out / style / footage.name
        self._storage = Storage.at(self._folder / variant)
        self.manifest = Manifest(self._storage, footage.part())

    @property
    def is_complete(self) -> bool:
        return self.manifest.is_complete

    @property
    def seconds(self) -> float:
        """Of all its passes together."""
        return sum(one["seconds"] for one in self.manifest.passes)

    def frames(self) -> list[np.ndarray]:
        """All frames of a complete one, uint8 (H, W, 3)."""
        files = self._files(self._storage)
        return [files.read(number) for number in range(len(self._footage.frames))]

    def go_on(self, style_hwc: np.ndarray, settings: Settings, device: str) -> None:
        """Paints what is not painted yet, in the style of a picture, uint8 (H, W, 3)."""
        if self.is_complete:
            return
        self._take_first()
        height, width = self._footage.size
        options = settings.options(self.variant)
        with Motions(
            PAINTED_WITH,
            Storage.at(self._out / "flow"),
            self._footage.__getitem__,
            height=height,
            width=width,
            prefix=self._footage.name,
        ) as motions:
            work = Work(
                part=self._footage.part(),
                storage=self._storage,
                stylizer=Stylizer(options, style_hwc, device=device, seed=settings.seed),
                frames=self._footage,
                motions=motions,
                manifest=self.manifest,
            )
            for _ in paint(work):
                pass

    def _take_first(self) -> None:
        """The first frame of every single pass is the same, so it is painted once."""
        if self.variant in (RANDOM, MULTIPASS) or self.manifest.frames:
            return
        storage = Storage.at(self._folder / RANDOM)
        done = Manifest(storage, self._footage.part()).frames
        if done:
            self._files(self._storage).write(0, self._files(storage).read(0))
            self.manifest.add(done[0])

    def _files(self, storage: Storage) -> FrameFiles:
        return FrameFiles(storage, f"videos/{self._footage.name}/frames")


def strip(footage: Footage, painted: Mapping[str, Sequence[np.ndarray]], count: int) -> np.ndarray:
    """The last frames side by side, the source and each variant in a row of its own, labelled.

    Args:
        footage: the clip.
        painted: its frames by variant.
        count: how many of each.

    Returns:
        uint8 (H, W, 3).
    """
    rows = [
        np.hstack([_panel(frame, label if at == 0 else "") for at, frame in enumerate(of[-count:])])
        for label, of in _labelled(footage, painted)
    ]
    return np.vstack(rows)


def write_film(path: Path, footage: Footage, painted: Mapping[str, Sequence[np.ndarray]]) -> None:
    """A video of the source and three variants, slowed down, some times over."""
    with VideoWriter(path, _SHOWN_FPS, crf=26) as writer:
        for _ in range(_ROUNDS):
            for at in range(len(footage.frames)):
                a, b, c, d = (_panel(of[at], label) for label, of in _labelled(footage, painted))
                writer.write(np.vstack([np.hstack([a, b]), np.hstack([c, d])]))


def _labelled(
    footage: Footage, painted: Mapping[str, Sequence[np.ndarray]]
) -> list[tuple[str, Sequence[np.ndarray]]]:
    shown = {SOURCE: footage.frames, **painted}
    return [(label, shown[name]) for name, label in SHOWN.items()]


def _panel(frame_hwc: np.ndarray, label: str) -> np.ndarray:
    height, width, _ = frame_hwc.shape
    large = resized(frame_hwc, (height * _ENLARGED, width * _ENLARGED))
    return draw_label(large, label, (0, 0), size=11) if label else large
