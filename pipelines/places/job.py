"""`arcadia places prepare SRC OUT`: turns pictures into a data set to train on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from arcadia.errors import UserError
from arcadia.options import CommonOptions, parse
from pipelines.places.config import PrepareOptions


@dataclass(frozen=True, kw_only=True)
class PlacesOptions(CommonOptions):
    """Turns pictures into Parquet shards of squares of one size, with their classes. A picture that
    cannot be used is left out and named. Interrupted and started again with the same words, it goes
    on where it was."""

    src: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    """Folder of folders named after classes (train/abbey/1.jpg, a/abbey/1.jpg), of pictures without
    classes, or of .tar archives; or one archive."""
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder, or s3:// or gs:// address, that gets the data set."""
    run_dir: str | None = None
    """Not taken: everything is written to OUT."""
    seed: int | None = None
    """Seed of the order in which the pictures are mixed, by default 0."""
    list: str | None = None
    """File of `path label` or `path` lines, paths below SRC, that says what is prepared, such as
    places365_train_standard.txt; labels are numbers."""
    categories: str | None = None
    """File of `name number` lines, such as categories_places365.txt, that says which number a class
    has; or a prepared data set whose numbers are taken, so that another can be measured with it. By
    default names are numbered in their order."""
    options: Annotated[PrepareOptions, tyro.conf.arg(name="")] = field(
        default_factory=PrepareOptions
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.run_dir is not None:
            raise UserError(
                f"run_dir {self.run_dir}: what this makes goes to OUT, {self.out}; leave it out"
            )
        if "://" in self.src:
            raise UserError(
                f"{self.src}: pictures are read from disks that all machines see; mount it, or "
                "copy it there first"
            )


def prepare(argv: list[str], prog: str) -> dict[str, Any]:
    """`arcadia places prepare`.

    Returns:
        `out`; `images`, those in the shards; `classes`, how many; `rejected`, `filtered` (of little
        colour), `ignored` (not taken for pictures), `shards`, `hash`, `seconds`.

    Raises:
        Incomplete: it was stopped, or could not write; what is finished is kept.
    """
    from pipelines.places.run import Preparation

    return Preparation(parse(PlacesOptions, argv, prog)).carry_out()


def identity(command: PlacesOptions) -> dict[str, Any]:
    """What decides the shards, in JSON's types."""
    import dataclasses

    options = dataclasses.asdict(command.options)
    del options["max_rejected_fraction"]
    return {
        "source": os.path.abspath(command.src),
        "list": command.list and os.path.abspath(command.list),
        "categories": command.categories and _absolute(command.categories),
        "seed": command.seed or 0,
        "options": options,
    }


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
