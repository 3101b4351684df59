"""A training's state as files, none of which holds code: safetensors, and JSON for the rest.

colorizer.safetensors    the network as it is judged and used
state.safetensors        the network as it is trained, the mean of its weights, the optimiser
state.json               numbers of the optimiser
done.json                steps, position in the data, the best so far
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from arcadia import training_loop
from arcadia.jsonable import read_json
from arcadia.nested_files import load_nested, save_nested
from arcadia.runs import RunFolder
from arcadia.typed import from_json
from pipelines.colorization.files import (
    describe_colorizer,
    load_colorizer,
    save_colorizer,
)
from pipelines.colorization.learner import Learner
from pipelines.colorization.order import Position

COLORIZER = "colorizer.safetensors"
BEGINNING = "beginning.safetensors"
"""File of a run with the network that it began with, where that was not a new one."""
_STATE, _DONE = "state", "done.json"


@dataclass(frozen=True, kw_only=True)
class Done(training_loop.Done):
    """How far a training is."""

    position: Position = field(default_factory=Position)
    """Of the next batch."""
    num_streams: int = 0
    """See `order`; 0 before the first step."""


def save_state(folder: Path, learner: Learner, done: Done, class_names: Sequence[str]) -> None:
    """Writes a checkpoint into an empty folder."""
    with learner.evaluating() as network:
        save_colorizer(network, folder / COLORIZER, {"class_names": list(class_names)})
    save_nested(folder, _STATE, learner.state())
    (folder / _DONE).write_text(json.dumps(asdict(done)))


def load_state(folder: Path, learner: Learner) -> Done:
    """Puts a checkpoint into a learner of the same options, and says how far it was."""
    learner.load_state(load_nested(folder, _STATE))
    return _done(folder)


@contextlib.contextmanager
def on_disk(data: bytes) -> Iterator[Path]:
    """A network's file that is in memory, as `load_colorizer` reads it."""
    with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
        path = Path(folder, COLORIZER)
        path.write_bytes(data)
        yield path


def begin_from(data: bytes, learner: Learner, class_names: Sequence[str]) -> None:
    """Takes the weights of a network's file; those of its classifier only where the classes, by
    their names, are the learner's."""
    with on_disk(data) as path:
        network, same = load_colorizer(path), knows_classes(path, class_names)
    learner.start_from(network, with_classifier=same)


def knows_classes(path: Path, class_names: Sequence[str]) -> bool:
    """Whether the network in a file tells just these classes apart."""
    return describe_colorizer(path).get("class_names") == list(class_names)


def done_of(run: RunFolder) -> Done:
    """How far a run is, by its last checkpoint."""
    if not run.has_checkpoint():
        return Done()
    return _done(run.find_checkpoint()[0])


def _done(folder: Path) -> Done:
    return from_json(Done, read_json(folder / _DONE), _DONE)
