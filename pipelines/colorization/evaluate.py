"""`arcadia evaluate RUN --data DATA`: how well runs colour pictures that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from arcadia.errors import UserError
from arcadia.options import CommonOptions
from arcadia.runs import RunFolder

MEAN_COLOR = "mean_color.json"
"""File of a run with the mean colour of what it is trained on."""
_COLUMNS = {
    "ab_mse": ("ab-MSE", "{:.1f}"),
    "psnr": ("PSNR", "{:.2f}"),
    "ssim": ("SSIM", "{:.3f}"),
    "colorfulness": ("colourful", "{:.1f}"),
    "top1": ("top-1", "{:.1%}"),
    "top5": ("top-5", "{:.1%}"),
}
_NUM_PICTURES = 8


@dataclass(frozen=True, kw_only=True)
class EvaluateColorizerOptions(CommonOptions):
    """Colours prepared pictures and compares them with the right ones, beside grey and beside the
    mean colour of what was trained on."""

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
    ] = ()
    """Folders or addresses of runs; of several, one table is made."""
    data: str | None = None
    """Folder or address of pictures that `arcadia places prepare` made ready; required."""
    checkpoint: str = "last"
    """last, best (the one that did best in validation), or a step."""
    images: int | None = None
    """Pictures to colour, by default all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data is None:
            raise UserError(
                "data: give --data with pictures that arcadia places prepare made ready"
            )
        if self.images is not None and self.images < 1:
            raise UserError(f"images {self.images}: must be at least 1")
        if self.address is not None:
            raise UserError(
                f"address {self.address}: pictures are coloured in this process; leave it out"
            )


def evaluate(runs: Sequence[RunFolder], options: EvaluateColorizerOptions) -> dict[str, Any]:
    """Judges runs, prints a table, and writes evaluation.json into each run.

    Returns:
        `images`, `grey` and `truth` (figures of the pictures so), and `runs`: of each `run`,
        `step`, its own figures, and `mean_color`, those of its baseline.
    """
    import torch

    from pipelines.colorization.baselines import in_one_color
    from pipelines.colorization.checkpoints import COLORIZER, knows_classes
    from pipelines.colorization.data import Share, class_names
    from pipelines.colorization.files import load_colorizer
    from pipelines.colorization.validation import Figures, grid, judge
    from pipelines.places import PreparedData

    assert options.data is not None
    data = PreparedData.open(options.data)
    share = Share(data=data, groups=tuple(data.row_groups()))
    most = min(options.images or data.num_images, data.num_images)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def on_device(images: Any) -> torch.Tensor:
        held = torch.from_numpy(images).to(device)
        return held.permute(0, 3, 1, 2).to(torch.float32).div_(255)

    def baseline(color: tuple[float, float] | None) -> dict[str, float]:
        figures = Figures()
        for images, _ in share.centred_batches(data.size, most):
            truth = on_device(images)
            shown = truth if color is None else in_one_color(truth, color)
            figures.add_pictures(shown, truth)
        return figures.means()

    rows: list[tuple[str, Mapping[str, float]]] = [("grey", baseline((0.5, 0.5)))]
    found: list[dict[str, Any]] = []
    for run in runs:
        folder, step = run.find_checkpoint(options.checkpoint)
        network = load_colorizer(folder / COLORIZER, device)
        same = knows_classes(folder / COLORIZER, class_names(data))
        batches = share.centred_batches(data.size, most)
        if not same:  # of other classes: their numbers mean nothing here
            batches = ((images, 0 * labels - 1) for images, labels in batches)
        figures = judge(network, batches, on_device).means()
        color = tuple(run.read_json(MEAN_COLOR)) if run.exists(MEAN_COLOR) else None
        mean = None if color is None else baseline(color)  # type: ignore[arg-type]
        if mean is not None:
            rows.append((f"mean colour of {run.name}'s pictures", mean))
        rows.append((f"{run.name}, step {step}", figures))
        some, _ = next(share.centred_batches(data.size, _NUM_PICTURES))
        from arcadia.media import png_bytes

        run.write_bytes("evaluation.png", png_bytes(grid(network, some, on_device)))
        one = {"run": run.uri, "step": step, **figures, "mean_color": mean}
        run.write_json("evaluation.json", {"data": data.uri, "images": most, **one})
        found.append(one)
    truth = baseline(None)
    rows.append(("truth", {"colorfulness": truth["colorfulness"]}))
    _print_table(rows, most)
    return {"images": most, "grey": rows[0][1], "truth": rows[-1][1], "runs": found}


def _print_table(rows: Sequence[tuple[str, Mapping[str, float]]], images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = [c for c in _COLUMNS if any(c in values for _, values in rows)]
    table = Table(title=f"{images:,} pictures", box=None)
    table.add_column("")
    for column in columns:
        table.add_column(_COLUMNS[column][0], justify="right")
    for name, values in rows:
        cells = [_COLUMNS[c][1].format(values[c]) if c in values else "-" for c in columns]
        table.add_row(name, *cells)
    Console().print(table)
