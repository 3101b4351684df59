"""How much painted videos flicker: a temporal loss beside the usual ways to begin a frame.

Each clip is painted by itself frame by frame (random: the naive Gatys of every frame), begun from
the result before (previous), from that brought along the flow (warped), and so with the temporal
loss, short-term (spans 1) and long-term (1, 2, 4), with equal iterations, VGG-16 and the paper's
weights; one clip also by the multi-pass algorithm. Then all are measured with a flow that none was
painted with, and on the synthetic pan with the exact one.

Frames are kept in --out: an interrupted run goes on when it is started again, and with --measure
what is there is measured and nothing painted. Strips of frames and videos lie beside them.

    .venv/bin/python -m benchmarks.stylization_consistency --json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from arcadia.media import read_image, resized, scaled_size, write_image
from benchmarks.replay import machine
from benchmarks.stylization_variants import (
    CLIPS,
    DEFAULT_CLIPS,
    MULTIPASS,
    PAN,
    RANDOM,
    SHOWN,
    SOURCE,
    VARIANTS,
    Footage,
    Painting,
    Settings,
    read_clip,
    strip,
    write_film,
)
from pipelines.flow import Motion, Motions, warping_error_lai, warping_error_ruder
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.losses import content_loss, long_term_weights, style_loss
from pipelines.stylization.networks import load_vgg
from pipelines.stylization.objective import LossWeights, Objective

SPANS = 1, 2, 4
_BORDER = 1 / 8  # of the shorter side


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of one clip by one variant. Errors and shares are by name of what they are measured with."""

    lai: dict[str, float]
    """Mean over the pairs of neighbours."""
    ruder: dict[str, float]
    covered: dict[str, float]
    """Share of the frame that is trusted."""
    reappeared: dict[str, float]
    """Lai's error to the frame of two or four before, in what the frames between did not show."""
    reappeared_share: dict[str, float]
    """Of all pixels."""
    content: float
    """Mean over the frames after the first, as `style`; of the frames as they are kept."""
    style: float
    border_contrast: float
    """Of those frames, see `border_contrast`."""
    seconds: float
    """A frame."""


def measure(
    frames: Sequence[np.ndarray], motions: Mapping[str, Motions]
) -> dict[str, dict[str, float]]:
    """The errors and shares of a `Row`, of frames uint8 (H, W, 3)."""
    measured: dict[str, dict[str, float]] = {}
    for name, of_clip in motions.items():
        pairs = [of_clip.get(to - 1, to) for to in range(1, len(frames))]
        by_pair = list(zip(frames[1:], frames[:-1], pairs, strict=True))
        error, share = reappeared_error(frames, of_clip)
        values = {
            "lai": [warping_error_lai(*pair, max_value=255) for pair in by_pair],
            "ruder": [warping_error_ruder(*pair, max_value=255) for pair in by_pair],
            "covered": [float(motion.mask.mean()) for motion in pairs],
            "reappeared": [error],
            "reappeared_share": [share],
        }
        for kind, numbers in values.items():
            measured.setdefault(kind, {})[name] = statistics.fmean(numbers)
    return measured


def reappeared_error(frames: Sequence[np.ndarray], motions: Motions) -> tuple[float, float]:
    """Lai's error of what was hidden for a while to when it was last seen.

    Of each frame, pixels that the one of two before shows and the one before does not, and that of
    four before and neither of these; all such pixels of the clip count alike.

    Args:
        frames: uint8 (H, W, 3), numbered from 0.
        motions: between them.

    Returns:
        The error, not a number where nothing reappears; and the share of all pixels.
    """
    total, weight, pixels = 0.0, 0.0, 0
    for to in range(1, len(frames)):
        before = [(to - span, motions.get(to - span, to)) for span in SPANS if span <= to]
        weights = long_term_weights([torch.from_numpy(motion.mask) for _, motion in before])
        pixels += weights[0].numel()
        for (since, motion), mask in list(zip(before, weights, strict=True))[1:]:
            if mask.any():
                of_mask = Motion(flow=motion.flow, mask=mask.numpy())
                error = warping_error_lai(frames[to], frames[since], of_mask, max_value=255)
                total += error * float(mask.sum())
                weight += float(mask.sum())
    return total / weight if weight else math.nan, weight / pixels


def border_contrast(frame_hwc: np.ndarray) -> float:
    """The standard deviation of the lightness near a frame's border, a band of an eighth of the
    shorter side, over that of the interior. uint8 (H, W, 3)."""
    gray = cv2.cvtColor(frame_hwc, cv2.COLOR_RGB2GRAY).astype(np.float64)
    band = round(min(gray.shape) * _BORDER)
    near = np.ones(gray.shape, bool)
    near[band:-band, band:-band] = False
    return float(gray[near].std() / gray[~near].std())


class Losses:
    """Content and style loss of finished frames of a clip, as they are kept.

    Args:
        footage: the clip.
        style_hwc: the style's picture, uint8 (H, W, 3).
        device: where the network runs.
    """

    def __init__(self, footage: Footage, style_hwc: np.ndarray, device: str):
        options = StyleOptions()
        layers = [*options.content_layers, *options.style_layers]
        self._device = device
        self._objective = Objective(
            load_vgg(options.network, layers).to(device),
            LossWeights(),
            content_layers=options.content_layers,
            style_layers=options.style_layers,
        )
        self._content = [
            self._objective.content_targets(self._tensor(frame)) for frame in footage.frames
        ]
        # As large as it is painted with.
        height, width, _ = style_hwc.shape
        style = resized(style_hwc, scaled_size(height, width, max(footage.size)))
        self._style = self._objective.style_grams(self._tensor(style))

    def of(self, frames: Sequence[np.ndarray]) -> tuple[float, float]:
        """The means over all frames but the first, which all variants share."""
        contents, styles = [], []
        for frame, target in list(zip(frames, self._content, strict=True))[1:]:
            image = self._tensor(frame)
            features = self._objective.content_targets(image)
            grams = self._objective.style_grams(image)
            contents.append(sum(float(content_loss(features[k], target[k])) for k in target))
            styles.append(sum(float(style_loss(grams[k], self._style[k])) for k in grams))
        return statistics.fmean(contents), statistics.fmean(styles)

    def _tensor(self, image_hwc: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(image_hwc)).to(self._device)
        return tensor.permute(2, 0, 1)[None].float().contiguous()


def means(rows: Mapping[str, Mapping[str, Row]]) -> dict[str, dict[str, float]]:
    """Over the clips, of each variant: the errors by the first flow, and losses over `random`'s.

    Args:
        rows: by clip and variant; every clip with every variant.

    Returns:
        By variant `lai`, `ruder`, `reappeared`, `content` and `style`.
    """
    result: dict[str, dict[str, float]] = {}
    for variant in next(iter(rows.values())):
        result[variant] = {
            kind: statistics.fmean(_first(getattr(of[variant], kind)) for of in rows.values())
            for kind in ("lai", "ruder", "reappeared")
        } | {
            kind: statistics.fmean(
                getattr(of[variant], kind) / getattr(of[RANDOM], kind) for of in rows.values()
            )
            for kind in ("content", "style")
        }
    return result


def _first(values: Mapping[str, float]) -> float:
    return next(iter(values.values()))


def goals(mean: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """What is to be reached: ratios, and what they may be at most, of the means of `means`."""
    result: dict[str, tuple[float, float]] = {}
    for kind in ("lai", "ruder"):
        error = {variant: of[kind] for variant, of in mean.items()}
        for temporal in ("short", "long"):
            result[f"{temporal}_over_warped/{kind}"] = error[temporal] / error["warped"], 0.9
        result[f"warped_over_previous/{kind}"] = error["warped"] / error["previous"], 1.0
        result[f"previous_over_random/{kind}"] = error["previous"] / error["random"], 1.0
    long_term = mean["long"]["reappeared"] / mean["short"]["reappeared"]
    result["long_over_short/reappeared"] = long_term, 1.0
    for kind in ("content", "style"):
        for temporal in ("short", "long"):
            result[f"{temporal}_over_random/{kind}"] = mean[temporal][kind], 1.25
    return result


def main() -> None:
    """Paints, measures, prints."""
    options = _arguments()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    settings = Settings(**{name: getattr(options, name) for name in Settings.__annotations__})
    settings.save(options.out)
    where = machine() | {"opencv": cv2.__version__, "torch": torch.__version__}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(", ".join(f"{name} {value}" for name, value in asdict(settings).items()), flush=True)

    result: dict[str, dict[str, dict[str, Row]]] = {}
    ratios: dict[str, float] = {}
    footages = [read_clip(name, options.data, settings) for name in options.clips]
    for style in options.styles:
        picture = read_image(options.data / "styles" / style)
        name = Path(style).stem
        result[name] = {}
        for footage in footages:
            variants = [*options.variants, *[MULTIPASS] * (footage.name in options.multipass)]
            paintings = [Painting(options.out, name, footage, variant) for variant in variants]
            if not options.measure:
                for painting in paintings:
                    painting.go_on(picture, settings, options.device)
                    spent = f"{painting.seconds:.0f} s"
                    print(f"{name} {footage.name} {painting.variant}: {spent}", flush=True)
            done = {one.variant: one for one in paintings if one.is_complete}
            if done:
                result[name][footage.name] = _measured(footage, done, picture, options, name)
        ratios |= _report(name, result[name])
    if options.json:
        of_clips = {
            f"{style}/{clip}/{variant}": asdict(row)
            for style, clips in result.items()
            for clip, rows in clips.items()
            for variant, row in rows.items()
        }
        of = {"machine": where, "settings": asdict(settings), "clips": of_clips, "ratios": ratios}
        print(json.dumps(of))


def _measured(
    footage: Footage,
    paintings: Mapping[str, Painting],
    style_hwc: np.ndarray,
    options: argparse.Namespace,
    style: str,
) -> dict[str, Row]:
    """Rows of a clip, printed, with pictures of it."""
    losses, motions = Losses(footage, style_hwc, options.device), footage.measuring()
    frames = {name: painting.frames() for name, painting in paintings.items()}
    rows: dict[str, Row] = {}
    for variant, of in {SOURCE: footage.frames, **frames}.items():
        content, of_style = losses.of(of)
        seconds = paintings[variant].seconds / len(of) if variant in paintings else 0.0
        rows[variant] = Row(
            **measure(of, motions),
            content=content,
            style=of_style,
            border_contrast=statistics.fmean(border_contrast(frame) for frame in of[1:]),
            seconds=seconds,
        )
    for of_name in motions.values():
        of_name.close()
    _print_clip(style, footage, rows)
    if set(SHOWN) <= {SOURCE, *frames}:
        picture = strip(footage, frames, 4)
        write_image(options.out / f"{style}-{footage.name}.png", picture)
        write_film(options.out / f"{style}-{footage.name}.mp4", footage, frames)
    return rows


def _print_clip(style: str, footage: Footage, rows: Mapping[str, Row]) -> None:
    height, width = footage.size
    print(f"\n{style}, {footage.name}, {width}x{height}; errors x 1000")
    print(
        f"{'':<10} {'measured with':<13} {'Lai':>7} {'Ruder':>7} {'covered':>7} "
        f"{'reappeared':>10} {'(share)':>7} {'content':>9} {'style':>11} {'border':>6} {'s':>6}"
    )
    for variant, row in rows.items():
        for at, name in enumerate(row.lai):
            losses = f"{row.content:9.0f} {row.style:11.0f} {row.border_contrast:6.3f}"
            print(
                f"{variant if at == 0 else '':<10} {name:<13} {1000 * row.lai[name]:7.2f} "
                f"{1000 * row.ruder[name]:7.3f} {row.covered[name]:7.1%} "
                f"{1000 * row.reappeared[name]:10.2f} {row.reappeared_share[name]:7.2%} "
                + (f"{losses} {row.seconds:6.1f}" if at == 0 else ""),
                flush=True,
            )


def _report(style: str, rows: Mapping[str, Mapping[str, Row]]) -> dict[str, float]:
    """Prints the means over clips that are complete, and the goals; answers the ratios."""
    ratios: dict[str, float] = {}
    for clip, of in rows.items():
        if RANDOM in of:
            for variant in (name for name in of if name not in (SOURCE, RANDOM)):
                key = f"{style}/{clip}/{variant}_over_random"
                ratios[f"{key}/lai"] = _first(of[variant].lai) / _first(of[RANDOM].lai)
                ratios[f"{key}/content"] = of[variant].content / of[RANDOM].content
                ratios[f"{key}/style"] = of[variant].style / of[RANDOM].style
        if {MULTIPASS, "short"} <= set(of):
            ratio = of[MULTIPASS].border_contrast / of["short"].border_contrast
            ratios[f"{style}/{clip}/multipass_over_short/border_contrast"] = ratio
            print(f"\n{style}, {clip}: contrast at the border, multi-pass over short: {ratio:.3f}")
    whole = {
        clip: {variant: of[variant] for variant in VARIANTS}
        for clip, of in rows.items()
        if set(VARIANTS) <= set(of)
    }
    if not whole:
        return ratios
    mean = means(whole)
    print(f"\n{style}, mean over {', '.join(whole)}; errors x 1000, losses over those of random")
    print(f"{'':<10} {'Lai':>7} {'Ruder':>7} {'reappeared':>10} {'content':>8} {'style':>6}")
    for variant, of in mean.items():
        print(
            f"{variant:<10} {1000 * of['lai']:7.2f} {1000 * of['ruder']:7.3f} "
            f"{1000 * of['reappeared']:10.2f} {of['content']:8.3f} {of['style']:6.3f}"
        )
    print()
    for name, (ratio, most) in goals(mean).items():
        print(f"{name:<32} {ratio:6.3f}, at most {most:g}: {'yes' if ratio <= most else 'NO'}")
        ratios[f"{style}/mean/{name}"] = ratio
    return ratios


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, default = parser.add_argument, Settings()
    add("--out", type=Path, default=Path("runs/stylization-consistency"), help="where frames go")
    add(
        "--data",
        type=Path,
        default=os.environ.get("ARCADIA_TEST_DATA"),
        help="folder that holds videos/ and styles/ (default: $ARCADIA_TEST_DATA)",
    )
    add("--styles", nargs="*", default=["starry_night.jpg"], help="files of styles/")
    add(
        "--clips",
        nargs="*",
        default=DEFAULT_CLIPS,
        choices=CLIPS,
        help=f"of {', '.join(CLIPS)} (default: {', '.join(DEFAULT_CLIPS)})",
    )
    add("--variants", nargs="*", default=VARIANTS, choices=VARIANTS, help="random first")
    add("--multipass", nargs="*", default=[PAN], choices=CLIPS, help=f"clips (default: {PAN})")
    for name, text in (
        ("frames", "of each clip"),
        ("size", "longest side in pixels"),
        ("iterations", "of each frame but the first"),
        ("iterations-first", "of the first"),
        ("passes", "of the multi-pass algorithm, which share a frame's iterations"),
        ("seed", "of the noise"),
    ):
        value = getattr(default, name.replace("-", "_"))
        add(f"--{name}", type=int, default=value, help=f"{text} (default: {value})")
    add("--threads", type=int, default=1, help="of the network (default: 1)")
    add("--device", default="cpu", help="where it runs (default: cpu)")
    add("--measure", action="store_true", help="paint nothing, measure what is there")
    add("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data: name the folder of videos/ and styles/, or set ARCADIA_TEST_DATA")
    return options


if __name__ == "__main__":
    main()
