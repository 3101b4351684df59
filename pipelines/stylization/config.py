"""The options of video stylization: everything that decides what the pictures look like.

Defaults are those of Ruder et al. 2016 (arXiv:1604.08610, section 5.1) and the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from arcadia.errors import UserError, did_you_mean
from arcadia.precision import Precision
from arcadia.typed import from_json
from pipelines.flow import FlowMethod

if TYPE_CHECKING:
    from pipelines.stylization.optimise import OptimiserOptions

# Here, and not where they are used: the command line shows its options without importing torch.
Network = Literal["vgg16", "vgg19"]
Pooling = Literal["max", "average"]
OptimiserName = Literal["lbfgs", "adam"]
FirstStart = Literal["random", "content"]
Start = Literal["random", "content", "previous", "warped"]

DEPTHS: dict[Network, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Layers of each block of a network."""
SHORTEST_SIDE_PX = 16
"""The deepest layer sees one position of a picture of this side."""

_INF = math.inf
_RANGES: dict[str, tuple[float, float]] = {
    "content_weight": (0, 1e9),
    "style_weight": (0, 1e9),
    "temporal_weight": (0, 1e9),
    "total_variation_weight": (0, 1e9),
    "size": (SHORTEST_SIDE_PX, 100_000),
    "style_scale": (0.01, 100),
    "iterations_first": (1, _INF),
    "iterations": (1, _INF),
    "history": (1, 10_000),
    "learning_rate": (1e-9, 1e3),
    "stop_change": (0, 1),
    "stop_window": (1, 100_000),
    "passes": (1, 1_000),
    "pass_iterations": (1, _INF),
    "temporal_from_pass": (2, 1_000),
    "multipass_temporal_weight": (0, 1e9),
    "blend": (0, 1),
    "segment_frames": (2, _INF),
    "run_in": (0, 1_000),
    "tile": (64, _INF),
    "threshold": (0.01, 255),
}


def layer_names(network: Network) -> tuple[str, ...]:
    """The names of a network's layers from its input on, "relu1_1" first."""
    return tuple(
        f"relu{block}_{number}"
        for block, depth in enumerate(DEPTHS[network], 1)
        for number in range(1, depth + 1)
    )


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """How frames are painted."""

    # Size
    size: int | None = None
    """Longest side of the painted video in pixels; by default the source's own."""
    style_scale: float = 1.0
    """Longest side of the style's picture over that of the frames: above 1 for larger strokes."""

    # Losses
    content_weight: float = 1.0
    """Of the source's features."""
    style_weight: float = 20.0
    """Of the style's Gram matrices."""
    temporal_weight: float = 200.0
    """Of the difference to earlier results brought along the flow."""
    total_variation_weight: float = 0.0
    """Of differences between neighbouring pixels; the paper has none."""
    spans: tuple[int, ...] = (1, 2, 4)
    """How many frames back the temporal loss looks: 1 is the short-term loss, 1 2 4 the long-term
    one; none: every frame is painted by itself."""
    content_layers: tuple[str, ...] = ("relu4_2",)
    """Layers of the network whose features are kept."""
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers whose Gram matrices are the style's."""
    style_weight_map: str | None = None
    """Picture that says where the style counts: white fully, black not at all; stretched to the
    frame. By default it counts everywhere."""
    original_colors: bool = False
    """Keep the source's colours: only the lightness is painted (transfer of luminance)."""

    # Network
    network: Network = "vgg16"
    """vgg16 (Oxford's, comes with Arcadia) or vgg19 (the paper's; torchvision's weights, fetched
    once)."""
    weights: str | None = None
    """File of the network's weights, in safetensors, instead of the known one."""
    pooling: Pooling = "max"
    """Between blocks of the network: max, as it was trained, or average, which Gatys et al. found
    to paint a little better."""
    precision: Precision = "auto"
    """Of the network's arithmetic: auto is bfloat16 or float16 on a GPU that is fast with it, and
    float32 on a CPU."""
    tile: int | None = None
    """Longest side in pixels of the parts in which the network sees a frame; by default a frame is
    cut only when it does not fit into memory. The result is the same but for rounding, the time
    about double."""

    # Flow
    flow: FlowMethod = "dis_fine"
    """dis_fine, dis_medium (a sixth of the time, less exact), farneback, raft or raft_small (need
    torchvision), or files (--flow-dir)."""
    flow_dir: str | None = None
    """Folder of .flo files: forward_1_2.flo from frame 1 to 2, backward_2_1.flo back; frames are
    counted from 1, as in the authors' code."""
    soften_masks: bool = False
    """Let the mask of what can be trusted end softly (the authors' code)."""
    motion_boundaries: bool = True
    """Leave out edges of moving things too (the paper; its sequel does not)."""

    # Search
    optimiser: OptimiserName = "lbfgs"
    """lbfgs, or adam, which needs no history of 2 x `history` frames."""
    history: int = 100
    """Pairs of vectors that L-BFGS keeps."""
    learning_rate: float | None = None
    """By default 1 for L-BFGS and 10 (of 255) for Adam."""
    start_first: FirstStart = "random"
    """What a shot's first frame begins from: random (noise), or content, its source."""
    start: Start = "warped"
    """What others begin from: the result before, warped along the flow or as it is (previous),
    content or random."""
    iterations_first: int = 2_000
    """Of a shot's first frame, at most."""
    iterations: int = 1_000
    """Of every other, at most."""
    stop_change: float = 1e-4
    """A frame is done when its loss has changed by less than this part of itself; 0: never."""
    stop_window: int = 50
    """Iterations over which it must."""

    # Several passes
    passes: int = 1
    """Above 1: the paper's multi-pass algorithm (section 4.3), 15 there. Every frame is begun by
    itself from noise, and passes go forward and backward over the shot, whose neighbours alone
    count: the options spans, start, start_first, iterations and iterations_first are those of a
    single pass."""
    pass_iterations: int = 100
    """Of each frame in each pass."""
    temporal_from_pass: int | None = None
    """First pass that has the temporal loss; by default 8, as in the authors' code, or the middle
    of fewer passes than 15."""
    multipass_temporal_weight: float = 100.0
    """Instead of temporal_weight."""
    blend: float = 0.5
    """How much of a neighbour's result, where the flow holds, a frame begins a pass with."""

    # Shots
    detector: Literal["content", "adaptive", "none"] = "content"
    """What finds cuts, across which nothing is continued (PySceneDetect); none: there are none."""
    threshold: float | None = None
    """The detector's, by default 27 (content) or 3 (adaptive)."""
    segment_frames: int | None = None
    """Cut longer shots into parts of about this length, painted side by side. Approximate: a part
    does not know what the one before came to, and a seam may show; the report measures it."""
    run_in: int = 8
    """Frames before a part that are painted along with it, and then dropped, so that it has settled
    where it begins."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not (low <= value <= high):
                bounds = f"at least {low:g}" if high == _INF else f"from {low:g} to {high:g}"
                raise UserError(f"{name} {value}: must be {bounds}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(
                    f'{name} "{value}": must be {", ".join(choices)}{did_you_mean(value, choices)}'
                )
        if list(self.spans) != sorted(set(self.spans)) or any(span < 1 for span in self.spans):
            shown = " ".join(map(str, self.spans))
            raise UserError(f"spans {shown}: must ascend from 1 or more, such as 1 2 4")
        for name in ("content_layers", "style_layers"):
            self._check_layers(name, getattr(self, name))
        if (self.flow == "files") != (self.flow_dir is not None):
            raise UserError(
                f"flow {self.flow}, flow_dir {self.flow_dir}: files of your own need both "
                "--flow files and --flow-dir"
            )
        if self.is_multipass and self.first_temporal_pass > self.passes:
            raise UserError(
                f"temporal_from_pass {self.temporal_from_pass}: there are {self.passes} passes; "
                "give at most that"
            )
        if self.passes > 1 and self.segment_frames is not None:
            raise UserError(
                f"passes {self.passes}, segment_frames {self.segment_frames}: several passes go "
                "over a whole shot; leave one of the two out"
            )

    def _check_layers(self, name: str, layers: tuple[str, ...]) -> None:
        if not layers:
            raise UserError(f"{name}: must name at least one layer, such as relu4_2")
        known = layer_names(self.network)
        for layer in layers:
            if layer not in known:
                raise UserError(
                    f'{name} "{layer}": {self.network} has {known[0]} to {known[-1]}'
                    f"{did_you_mean(layer, known)}"
                )

    def optimiser_options(self) -> OptimiserOptions:
        """What the search takes of these."""
        from pipelines.stylization.optimise import OptimiserOptions

        default = 1.0 if self.optimiser == "lbfgs" else 10.0
        return OptimiserOptions(
            name=self.optimiser,
            history=self.history,
            learning_rate=self.learning_rate or default,
            stop_change=self.stop_change,
            stop_window=self.stop_window,
        )

    @property
    def is_multipass(self) -> bool:
        return self.passes > 1

    @property
    def first_temporal_pass(self) -> int:
        """First of several passes that has the temporal loss."""
        return self.temporal_from_pass or min(8, self.passes // 2 + 1)


_CHOICES: dict[str, tuple[str, ...]] = {
    "network": get_args(Network),
    "pooling": get_args(Pooling),
    "precision": get_args(Precision),
    "flow": get_args(FlowMethod),
    "optimiser": get_args(OptimiserName),
    "start_first": get_args(FirstStart),
    "start": get_args(Start),
    "detector": ("content", "adaptive", "none"),
}


def ruder2016(**overrides: Any) -> StyleOptions:
    """The paper's single pass, but for VGG-16 in the place of VGG-19 and OpenCV's flow in that of
    DeepFlow; `--network vgg19` is the paper's network."""
    return StyleOptions(**overrides)


def multipass(**overrides: Any) -> StyleOptions:
    """The paper's multi-pass algorithm: 15 passes of 100 iterations."""
    values: dict[str, Any] = dict(passes=15, spans=(1,))
    return StyleOptions(**(values | overrides))


def fast(**overrides: Any) -> StyleOptions:
    """A painted video in a fraction of the time: 512 pixels, a tenth of the iterations, of which
    none is spent on making a picture out of noise."""
    values: dict[str, Any] = dict(
        size=512, start_first="content", iterations_first=300, iterations=100
    )
    return StyleOptions(**(values | overrides))


def draft(**overrides: Any) -> StyleOptions:
    """A first look, on a small machine: 192 pixels, few iterations, the fast flow."""
    values: dict[str, Any] = dict(
        size=192,
        start_first="content",
        iterations_first=150,
        iterations=50,
        stop_window=25,
        flow="dis_medium",
    )
    return StyleOptions(**(values | overrides))


PRESETS: Mapping[str, Callable[..., StyleOptions]] = {
    "ruder2016": ruder2016,
    "multipass": multipass,
    "fast": fast,
    "draft": draft,
}


def preset(name: str, **overrides: Any) -> StyleOptions:
    """The options of a preset. UserError when there is none of that name."""
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS) or f"; there is {', '.join(PRESETS)}"
        raise UserError(f'preset "{name}": nothing of that name{near}')
    return PRESETS[name](**overrides)


def options_from(values: Any) -> StyleOptions:
    """The options that a run's config holds."""
    return from_json(StyleOptions, values)
