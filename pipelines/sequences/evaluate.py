"""`arcadia evaluate RUN`: how well runs do on examples that they have not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from arcadia.errors import UserError, said_of
from arcadia.options import CommonOptions
from arcadia.runs import RunFolder


@dataclass(frozen=True, kw_only=True)
class EvaluateSequenceOptions(CommonOptions):
    """Judges networks by examples of a test set, the same for all runs of a task."""

    runs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
    ] = ()
    """Folders or addresses of runs; of several, one table is made."""
    checkpoint: str = "last"
    """last, best (the one that did best in validation), or a step."""
    examples: int = 10_000
    """Of generated tasks: how many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples < 1:
            raise UserError(f"examples {self.examples}: must be at least 1")
        if self.address is not None:
            raise UserError(
                f"address {self.address}: networks are judged in this process; leave it out"
            )


def evaluate(runs: Sequence[RunFolder], options: EvaluateSequenceOptions) -> dict[str, Any]:
    """Prints a table.

    Returns:
        `runs`: of each its `run`, `task`, `activation`, `step`, `seed` and the task's figures.

    Raises:
        UserError: a run has no such checkpoint.
    """
    from rich.console import Console
    from rich.table import Table

    rows = [_judged(run, options) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    table = Table()
    for column in ("run", "task", "activation", "step"):
        table.add_column(column)
    for name in names:
        table.add_column(name, justify="right")
    for run, row in zip(runs, rows, strict=True):
        figures = [f"{row['figures'][n]:.4g}" if n in row["figures"] else "-" for n in names]
        table.add_row(run.name, row["task"], row["activation"], f"{row['step']:,}", *figures)
    Console().print(table)
    return {"runs": rows}


def _judged(run: RunFolder, options: EvaluateSequenceOptions) -> dict[str, Any]:
    import torch

    from pipelines.sequences.checkpoints import load_network
    from pipelines.sequences.config import options_from
    from pipelines.sequences.task import summed_totals
    from pipelines.sequences.tasks import task_of

    with said_of(run.storage.shown("config.json")):
        of_run = options_from(run.config.get("options"))
        data = run.config.get("data", [])
        if not isinstance(data, list) or not all(isinstance(place, str) for place in data):
            raise UserError(f"data {str(data)[:60]!r}: must be a list of paths")
    of_run = dataclasses.replace(of_run, validation_examples=options.examples)
    place, step = run.find_checkpoint(options.checkpoint)
    task = task_of(of_run, run.seed or 0, data)
    network = task.make_network()
    load_network(place, network)
    network.eval()
    with torch.no_grad():
        totals = summed_totals(task, network, task.batches("test"))
    return {
        "run": run.uri,
        "task": of_run.task,
        "activation": of_run.activation,
        "step": step,
        "seed": run.seed,
        "figures": task.figures(totals),
    }
