"""A network in a file: safetensors, which hold no code, with its options beside the weights."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from arcadia.atomic import beside
from arcadia.errors import UserError
from arcadia.jsonable import jsonable, parsed
from arcadia.typed import from_json
from arcadia.weights import read_metadata, read_weights
from pipelines.colorization.config import NetworkOptions
from pipelines.colorization.networks import Colorizer

_FORMAT = "arcadia-colorizer-1"


def save_colorizer(
    colorizer: Colorizer, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Writes a network into a safetensors file, whole or not at all.

    Args:
        colorizer: its weights, its options and its number of classes are kept.
        path: the file; missing folders are made.
        metadata: what else there is to know, such as the names of the classes; kept as JSON.

    Raises:
        UserError: it cannot be written.
    """
    described = dict(metadata or {}) | {
        "options": dataclasses.asdict(colorizer.options),
        "num_classes": colorizer.num_classes,
    }
    words = {name: json.dumps(jsonable(value)) for name, value in described.items()}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _state(colorizer)}
    with beside(Path(path)) as temporary:
        save_file(weights, temporary, metadata=words | {"format": _FORMAT})


def describe_colorizer(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_colorizer` kept beside the weights: "options", "num_classes", and the rest.

    Raises:
        UserError: no such file, damaged, or no colorizer's.
    """
    words = read_metadata(path)
    if words.pop("format", None) != _FORMAT:
        raise UserError(f"{path}: holds no colorizer of this version of Arcadia; give another file")
    try:
        described = {name: parsed(value, name) for name, value in words.items()}
        described["options"] = from_json(NetworkOptions, described.get("options"))
        number = described.get("num_classes")
        if type(number) is not int or not 0 <= number <= 1_000_000:
            raise UserError(f"num_classes {str(number)[:40]}: must be from 0 to 1,000,000")
    except UserError as error:
        raise UserError(f"{path}: its options are damaged ({error}); give another file") from error
    return described


def check_colorizer(path: str | os.PathLike[str]) -> None:
    """Looks whether `load_colorizer` can read a file; raises what it would."""
    _read(path, describe_colorizer(path))


def load_colorizer(
    path: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    *,
    num_classes: int | None = None,
    options: NetworkOptions | None = None,
) -> Colorizer:
    """The network in a file of `save_colorizer`, in evaluation mode.

    Args:
        path: the file.
        device: where to.
        num_classes: what it must have; by default any number.
        options: what it must be made of; by default anything.

    Raises:
        UserError: no such file, damaged, no colorizer's, or another number of classes or option
            than is wanted.
    """
    described = describe_colorizer(path)
    wanted = {} if options is None else dataclasses.asdict(options)
    if num_classes is not None and (options is None or options.global_features):
        wanted["num_classes"] = num_classes
    held = dataclasses.asdict(described["options"]) | {"num_classes": described["num_classes"]}
    for name, value in wanted.items():
        if held[name] != value:
            raise UserError(
                f"{path}: a network of {name} {held[name]}, and {value} is wanted; give another "
                "file, or that value"
            )
    weights = _read(path, described)
    colorizer = Colorizer(described["num_classes"], described["options"])
    colorizer.load_state_dict(weights, strict=False)  # all but the counts that _state leaves out
    return colorizer.eval().to(device)


def _read(path: str | os.PathLike[str], described: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a file that describes itself so: before there is memory for what it says."""
    with torch.device("meta"):
        made = Colorizer(described["num_classes"], described["options"])
    return read_weights(path, {name: tuple(value.shape) for name, value in _state(made)})


def _state(colorizer: Colorizer) -> list[tuple[str, Tensor]]:
    """Its tensors, without batch normalisation's counts of batches, on which nothing depends."""
    state = colorizer.state_dict()
    return [(name, tensor) for name, tensor in state.items() if tensor.is_floating_point()]
