"""`arcadia export`: a policy as ONNX, for programs without torch, checked against the original."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from algorithms.dqn.policy import TrainedPolicy, load_policy
from arcadia.errors import UserError
from arcadia.jsonable import jsonable
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import ExportOptions

ONNX_FILE = "policy.onnx"
_NUM_CHECKED = 64
_TOLERANCE = 1e-4  # of the greatest value: what other orders of summing floats come to, and more


class Exported(NamedTuple):
    """A network that becomes a file."""

    network: nn.Module
    inputs: dict[str, np.ndarray]
    """By name, what to compare on: arrays of one length, at least 2."""
    output: str
    """Name of what it gives."""


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """Writes `policy.onnx` into a run.

    Its input is `observation`, (batch, K, ...) of the policy's shape and dtype, vectors as
    (batch, 1, D); its output `q_values`, (batch, A) float32.

    Returns:
        `onnx` (its path), `checkpoint_step`, `observations` (how many it was checked on) and
        `max_abs_difference` of the values.

    Raises:
        UserError: the packages are missing, or the run has no such checkpoint.
        RuntimeError: the file gives other values than the policy; nothing was written.
    """
    policy = load_policy(run.uri, command.checkpoint)
    inputs = {"observation": observations_of(run, policy)}
    result = write_files(run, policy, {ONNX_FILE: Exported(policy.network, inputs, "q_values")})
    return result | {"onnx": result["onnx"][0]}


def write_files(
    run: RunFolder, policy: TrainedPolicy, parts: Mapping[str, Exported], **about: Any
) -> dict[str, Any]:
    """Writes a policy's networks into a run, by file name; all or none.

    The files' metadata hold its options, the first action's number and the step, as JSON.

    Args:
        run: Where to.
        policy: On the CPU.
        parts: Its networks.
        **about: What more the metadata hold.

    Returns:
        As `export`, but `onnx` is a list.

    Raises:
        UserError: the packages are missing.
        RuntimeError: a file gives other values than its network.
    """
    described = {
        "options": json.dumps(jsonable(policy.options)),
        "first_action": str(int(policy.action_space.start)),
        "step": str(policy.step),
        **{name: json.dumps(jsonable(value)) for name, value in about.items()},
    }
    with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
        differences = [
            write_onnx(part, Path(folder, name), described) for name, part in parts.items()
        ]
        for name in parts:
            run.write_bytes(name, Path(folder, name).read_bytes())
    number = len(next(iter(parts.values())).inputs["observation"])
    for name, difference in zip(parts, differences, strict=True):
        print(
            f"ONNX: {run.storage.shown(name)} (values differ by at most {difference:.1g} on "
            f"{number} observations)"
        )
    return {
        "onnx": [run.storage.shown(name) for name in parts],
        "checkpoint_step": policy.step,
        "observations": number,
        "max_abs_difference": max(differences),
    }


def write_onnx(exported: Exported, path: Path, described: dict[str, str]) -> float:
    """Writes a network as ONNX and compares the two.

    Args:
        exported: The network, on the CPU.
        path: Of the file.
        described: The file's metadata.

    Returns:
        The greatest absolute difference between the values.

    Raises:
        UserError: the packages are missing.
        RuntimeError: the values differ; the file is removed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise UserError(
            f"export: the package {error.name} is missing; in Arcadia's folder: pip "
            "install -c constraints.txt -e '.[export]'"
        ) from error
    network, inputs, output = exported
    with _quiet():
        program = torch.onnx.export(
            network,
            tuple(torch.from_numpy(array[:2].copy()) for array in inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch")},) * len(inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, described)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (theirs,) = session.run([output], inputs)
    with torch.inference_mode():
        ours = network(*map(torch.from_numpy, inputs.values())).numpy()
    difference = float(np.abs(np.asarray(theirs) - ours).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(ours).max())):
        path.unlink()
        raise RuntimeError(
            f"the exported network's values differ by {difference:g} from the policy's; nothing "
            "was written"
        )
    return difference


def observations_of(run: RunFolder, policy: TrainedPolicy) -> np.ndarray:
    """(B, K, ...): the run's held-out states, or else noise."""
    if run.exists("held_out.npz"):
        states = np.load(io.BytesIO(run.read_bytes("held_out.npz")))["states"][:_NUM_CHECKED]
        if len(states) > 1:
            return states
    rng, shape = np.random.default_rng(0), policy.observation_shape
    if policy.networks[0].is_image:
        return rng.integers(256, size=(_NUM_CHECKED, *shape), dtype=np.uint8)
    return rng.normal(size=(_NUM_CHECKED, 1, *shape)).astype(np.float32)


@contextlib.contextmanager
def _quiet():
    """Keeps torch's exporter from telling of its own steps."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
