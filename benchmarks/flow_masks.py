"""How good the flow methods are, and the masks of what cannot be trusted that follow from them.

Scenes of known motion: a disc, of a quarter of the frame's height in radius, before a background
that pans; three motions, each with two textures. "exact" is the true flow. Shares are of pixels:
found, of those that are truly occluded (they were behind the disc, or outside the frame), and kept,
of all others, the band along the disc's edge included; once with the test for motion boundaries,
which takes away such a band by design, and once without. Then the end-point error (EPE) on
Middlebury's motorcycle pair, whose flow left to right is its disparity. Methods take turns; times
are medians, of one flow.

    .venv/bin/python -m benchmarks.flow_masks --json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch

from arcadia.media import read_image
from benchmarks.replay import machine
from pipelines.flow import (
    FlowMethod,
    MovingScene,
    consistency_mask,
    end_point_error,
    estimate_flow,
    score_mask,
)

# Of the background and of the disc, in pixels a frame.
MOTIONS = (((3.0, 1.0), (-5.0, 2.0)), ((0.0, 0.0), (1.3, -0.7)), ((-2.4, 0.3), (6.6, 1.9)))
SEEDS = (0, 10)
EXACT = "exact"


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of one method at one size, means over the scenes."""

    epe_px: float
    """Over all pixels, those that the other frame does not show included."""
    epe_shown_px: float
    """Over those that the other frame shows."""
    found: float
    kept: float
    found_without_boundaries: float
    kept_without_boundaries: float
    s: float
    """Of one flow; 0 where it is known."""


def measure(height: int, width: int, methods: list[FlowMethod]) -> dict[str, Row]:
    """All methods on all scenes of one size."""
    values: dict[str, list[tuple[float, ...]]] = {name: [] for name in (EXACT, *methods)}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for seed in SEEDS:
        for pan, velocity in MOTIONS:
            scene = MovingScene(
                height=height,
                width=width,
                radius=height / 4,
                pan=pan,
                velocity=velocity,
                seed=seed,
            )
            a, b, truth = scene.frame(0), scene.frame(1), scene.flow(0, 1)
            for name in (EXACT, *methods):
                if name == EXACT:
                    flows = [truth, scene.flow(1, 0)]
                else:
                    flows = []
                    for pair in ((a, b), (b, a)):
                        began = time.perf_counter()
                        flows.append(estimate_flow(*pair, name))
                        seconds[name].append(time.perf_counter() - began)
                masks = (
                    consistency_mask(*flows, motion_boundaries=boundaries)
                    for boundaries in (True, False)
                )
                scores = [score_mask(mask, scene.occluded(0, 1)) for mask in masks]
                values[name].append(
                    (
                        end_point_error(flows[0], truth),
                        end_point_error(flows[0], truth, ~scene.occluded(1, 0)),
                        *(share for score in scores for share in (score.found, score.kept)),
                    )
                )
    return {
        name: Row(
            **dict(zip(list(Row.__annotations__), map(float, np.mean(rows, axis=0)), strict=False)),
            s=statistics.median(seconds[name]) if name in seconds else 0.0,
        )
        for name, rows in values.items()
    }


def measure_motorcycle(
    folder: Path, methods: list[FlowMethod], num_rounds: int
) -> dict[str, dict[str, float]]:
    """EPE in pixels and seconds on the real pair."""
    left, right = (read_image(folder / f"motorcycle_{side}.png") for side in ("left", "right"))
    with np.load(folder / "motorcycle_disp.npz") as entry:
        disparity = entry[entry.files[0]].astype(np.float64)
    disparity[~np.isfinite(disparity)] = np.nan
    truth = np.stack([-disparity, 0 * disparity])
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    errors: dict[str, float] = {}
    for _ in range(num_rounds):
        for name in methods:
            began = time.perf_counter()
            flow = estimate_flow(left, right, name)
            seconds[name].append(time.perf_counter() - began)
            errors[name] = end_point_error(flow, truth)
    return {n: {"epe_px": errors[n], "s": statistics.median(seconds[n])} for n in methods}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        nargs="*",
        default=["128x72", "192x144", "640x272", "1024x436"],
        metavar="WxH",
        help="of the frames (default: 128x72 192x144 640x272 1024x436)",
    )
    parser.add_argument(
        "--data",
        default=os.environ.get("ARCADIA_TEST_DATA"),
        help="folder that holds flow/motorcycle_*; left out without (default: $ARCADIA_TEST_DATA)",
    )
    parser.add_argument("--rounds", type=int, default=7, help="on the real pair (default: 7)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()

    methods: list[FlowMethod] = ["dis_fine", "dis_medium", "farneback"]
    if find_spec("torchvision") is not None:
        methods.append("raft")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    where = machine() | {"opencv": cv2.__version__, "torch": torch.__version__}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print("one thread; EPE in px: of all pixels, and of those that the other frame shows\n")
    print(
        f"{'size':>9} {'flow':<11} {'EPE':>6} {'shown':>6} {'s':>7}   "
        f"{'found':>6} {'kept':>6}   {'without boundaries: found':>25} {'kept':>6}"
    )
    measured: dict[str, dict[str, Row]] = {}
    for size in options.sizes:
        width, height = (int(side) for side in size.split("x"))
        measured[size] = measure(height, width, methods)
        for name, row in measured[size].items():
            print(
                f"{size:>9} {name:<11} {row.epe_px:6.3f} {row.epe_shown_px:6.3f} {row.s:7.4f}   "
                f"{row.found:6.1%} {row.kept:6.1%}   {row.found_without_boundaries:25.1%} "
                f"{row.kept_without_boundaries:6.1%}",
                flush=True,
            )
    real: dict[str, dict[str, float]] = {}
    if options.data is not None:
        real = measure_motorcycle(Path(options.data, "flow"), methods, options.rounds)
        print(f"\n{'motorcycle, 741x500':<21} {'EPE':>6} {'s':>7}")
        for name, result in real.items():
            print(f"{name:>21} {result['epe_px']:6.2f} {result['s']:7.4f}")
    if options.json:
        by_size = {
            size: {name: asdict(row) for name, row in rows.items()}
            for size, rows in measured.items()
        }
        # No peers: a mask is held against the truth, a method's time against DIS medium's.
        ratios = {
            f"{size}/{name}/{share}": getattr(row, share)
            for size, rows in measured.items()
            for name, row in rows.items()
            for share in ("found", "kept")
        } | {
            f"{size}/{name}/s_over_dis_medium": row.s / rows["dis_medium"].s
            for size, rows in measured.items()
            for name, row in rows.items()
            if name != EXACT
        }
        print(
            json.dumps(
                {"machine": where, "synthetic": by_size, "motorcycle": real, "ratios": ratios}
            )
        )


if __name__ == "__main__":
    main()
