"""The file of a trained policy: its networks and what they were trained on.

It is safetensors, so that reading one runs no code of whoever wrote it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from arcadia.errors import UserError
from arcadia.jsonable import jsonable, parsed
from arcadia.runs import RunFolder

_OTHERS = (RuntimeError, AssertionError)  # torch's, Gymnasium's
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

POLICY_FILE = "policy.safetensors"
"""Name of the file in a checkpoint."""
_FORMAT = "arcadia-{}-policy-1"


class PolicyFile(NamedTuple):
    """What a file held."""

    path: Path
    weights: dict[str, Tensor]
    described: dict[str, Any]


def write_policy_file(
    folder: str | os.PathLike[str], kind: str, weights: Mapping[str, Tensor], **described: Any
) -> None:
    """Writes `POLICY_FILE` into a folder.

    Args:
        folder: Where to.
        kind: Of the algorithm's runs.
        weights: Of all networks, by name.
        **described: What else there is to know; kept as JSON.
    """
    words = {name: json.dumps(jsonable(value)) for name, value in described.items()}
    # Contiguous, whatever layout the learner keeps them in.
    arrays = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    metadata = {"format": _FORMAT.format(kind)} | words
    save_file(arrays, Path(folder, POLICY_FILE), metadata=metadata)


def read_policy_file(folder: str | os.PathLike[str], kind: str, name: str) -> PolicyFile:
    """Reads what `write_policy_file` wrote.

    Args:
        folder: Where.
        kind: Of the algorithm's runs.
        name: What errors call the algorithm.

    Raises:
        UserError: There is none, or one that is damaged or of something else.
    """
    path = Path(folder, POLICY_FILE)
    if not path.is_file():
        raise UserError(f"{folder}: holds no policy of {name} ({POLICY_FILE} is missing)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); use another checkpoint") from error
    if metadata.pop("format", None) != _FORMAT.format(kind):
        raise UserError(f"{path}: holds no policy of {name}, or one of another version of Arcadia")
    with damage_is_said(path):
        described = {name: parsed(words, name) for name, words in metadata.items()}
    return PolicyFile(path, weights, described)


@contextlib.contextmanager
def damage_is_said(path: Path) -> Iterator[None]:
    """Says in one line that a file's content does not make a policy.

    Raises:
        UserError: for what comes of that.
    """
    try:
        yield
    except (*(LookupError, TypeError, AttributeError, ValueError), *_OTHERS) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path}: damaged ({said}); use another checkpoint") from error


def network_of(make: Callable[[], AnyNetwork], weights: Mapping[str, Tensor]) -> AnyNetwork:
    """The network that `make` makes, with weights of a file.

    Raises:
        ValueError: They are of another one. It was not made then: a file may say that it is larger
            than any memory.
    """
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in make().state_dict().items()}
    if wanted != {name: value.shape for name, value in weights.items()}:
        raise ValueError("its weights are not those of the network that it describes")
    network = make()
    network.load_state_dict(weights)
    return network


def policy_folder(run: str | os.PathLike[str], checkpoint: str, kind: str) -> Path:
    """Where the policy of a run is.

    Args:
        run: Folder or address of a run, or a folder that holds `POLICY_FILE`.
        checkpoint: "last", "best" (in evaluation during training) or a step; of a run.
        kind: That the run must be of.

    Raises:
        UserError: There is no such run or checkpoint.
    """
    if "://" not in os.fspath(run) and Path(run, POLICY_FILE).is_file():
        return Path(run)
    opened = RunFolder.open(run)
    if opened.kind != kind:
        raise UserError(f'{opened.storage.shown()}: a run of kind "{opened.kind}", not {kind}')
    return Path(opened.find_checkpoint(checkpoint)[0])
