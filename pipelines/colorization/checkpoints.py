"""A training's state as files, none of which holds code: safetensors, and JSON for the rest.

colorizer.safetensors    the network as it is judged and used
state.safetensors        the network as it is trained, the mean of its weights, the optimiser
state.json               numbers of the optimiser; steps, position in the data, the best so far
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from arcadia.runs import RunFolder
from pipelines.colorization.learner import Learner
from pipelines.colorization.networks import (
    describe_colorizer,
    load_colorizer,
    save_colorizer,
)
from pipelines.colorization.order import Position

COLORIZER = "colorizer.safetensors"
BEGINNING = "beginning.safetensors"
"""File of a run with the network that it began with, where that was not a new one."""
_TENSORS, _NUMBERS = "state.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True)
class Done:
    """How far a training is."""

    step: int = 0
    position: Position = field(default_factory=Position)
    """Of the next batch."""
    num_streams: int = 0
    """See `order`; 0 before the first step."""
    best: float | None = None
    """The least validation error so far."""
    seconds: float = 0.0
    """Of training, all attempts together."""


def save_state(folder: Path, learner: Learner, done: Done, class_names: Sequence[str]) -> None:
    """Writes a checkpoint into an empty folder."""
    with learner.evaluating() as network:
        save_colorizer(network, folder / COLORIZER, {"class_names": list(class_names)})
    tensors: dict[str, Tensor] = {}
    numbers = _taken_apart(learner.state(), "", tensors)
    save_file(tensors, folder / _TENSORS)
    (folder / _NUMBERS).write_text(json.dumps({"learner": numbers, "done": asdict(done)}))


def load_state(folder: Path, learner: Learner) -> Done:
    """Puts a checkpoint into a learner of the same options, and says how far it was."""
    tensors = load_file(folder / _TENSORS)
    values = json.loads((folder / _NUMBERS).read_text())
    learner.load_state(_put_together(values["learner"], tensors))
    return _done(values)


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
    if not run.checkpoints():
        return Done()
    return _done(json.loads((run.find_checkpoint()[0] / _NUMBERS).read_text()))


def _done(values: Mapping[str, Any]) -> Done:
    done = values["done"]
    return Done(**done | {"position": Position(**done["position"])})


def _taken_apart(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """What JSON can hold of nested values; tensors go into `tensors`, by the way to them."""
    if isinstance(value, Tensor):
        tensors[name] = value.contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        # Whole numbers, which an optimiser counts parameters by, stay such.
        return {
            "items": [[key, _taken_apart(v, f"{name}/{key}", tensors)] for key, v in value.items()]
        }
    if isinstance(value, list | tuple):
        return [_taken_apart(v, f"{name}/{at}", tensors) for at, v in enumerate(value)]
    return value


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _put_together(inner, tensors) for key, inner in value["items"]}
    if isinstance(value, list):
        return [_put_together(inner, tensors) for inner in value]
    return value
