"""A training's state as files, none of which holds code: safetensors, and JSON for the rest.

network.safetensors    the network as it is used
state.safetensors      the same and the optimiser, with what is no tensor in state.json
done.json              steps, the best so far
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from arcadia.errors import UserError
from arcadia.jsonable import read_json
from arcadia.nested_files import load_nested, on_cpu, save_nested
from arcadia.runs import RunFolder
from arcadia.training_loop import Done
from arcadia.typed import from_json
from pipelines.sequences.learner import Learner
from pipelines.sequences.task import Carry

_NETWORK, _STATE, _DONE = "network.safetensors", "state", "done.json"


def save_state(folder: Path, learner: Learner, carry: Carry, done: Done) -> None:
    """Writes a checkpoint into an empty folder; `carry` is that of all workers together."""
    save_file(on_cpu(learner.network.state_dict()), folder / _NETWORK)
    save_nested(folder, _STATE, learner.state() | {"carry": on_cpu(carry)})
    (folder / _DONE).write_text(json.dumps(asdict(done)))


def load_state(folder: Path, learner: Learner) -> tuple[Done, Carry]:
    """Puts a checkpoint into a learner of the same options; says how far it was, and what all
    workers together remember."""
    state = load_nested(folder, _STATE)
    learner.load_state(state)
    return _done(folder), tuple(state["carry"])


def load_network(folder: Path, network: torch.nn.Module) -> None:
    """Puts the weights of a checkpoint into a network of the same options."""
    path = folder / _NETWORK
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: is not the network of this run ({said}); use another checkpoint"
        ) from error


def done_of(run: RunFolder) -> Done:
    """How far a run is, by its last checkpoint."""
    return _done(run.find_checkpoint()[0]) if run.has_checkpoint() else Done()


def _done(folder: Path) -> Done:
    return from_json(Done, read_json(folder / _DONE), _DONE)
