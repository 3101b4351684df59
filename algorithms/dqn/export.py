"""`arcadia export`: a policy as ONNX, for programs without torch, checked against the original."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.dqn.policy import Policy, load_policy
from arcadia.errors import UserError
from arcadia.jsonable import jsonable
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import ExportOptions

ONNX_FILE = "policy.onnx"
_NUM_CHECKED = 64
_TOLERANCE = 1e-4  # of the greatest value: what other orders of summing floats come to, and more


def export(run: RunFolder, command: ExportOptions) -> dict[str, Any]:
    """Writes `policy.onnx` into a run.

    Returns:
        `onnx` (its path), `checkpoint_step`, `observations` (how many it was checked on) and
        `max_abs_difference` of the values.

    Raises:
        UserError: the packages are missing, or the run has no such checkpoint.
        RuntimeError: the file gives other values than the policy; nothing was written.
    """
    policy = load_policy(run.uri, command.checkpoint)
    observations = _observations(run, policy)
    with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
        path = Path(folder, ONNX_FILE)
        difference = write_onnx(policy, path, observations)
        run.write_bytes(ONNX_FILE, path.read_bytes())
    print(
        f"ONNX: {run.storage.shown(ONNX_FILE)} (values differ by at most {difference:.1g} on "
        f"{len(observations)} observations)"
    )
    return {
        "onnx": run.storage.shown(ONNX_FILE),
        "checkpoint_step": policy.step,
        "observations": len(observations),
        "max_abs_difference": difference,
    }


def write_onnx(policy: Policy, path: Path, observations: np.ndarray) -> float:
    """Writes a policy's network as ONNX and compares the two.

    Its input is `observation`, (batch, K, ...) of the policy's shape and dtype, vectors as
    (batch, 1, D); its output `q_values`, (batch, A) float32. The file's metadata holds the options
    and the first action's number as JSON.

    Args:
        policy: On the CPU.
        path: Of the file.
        observations: (B, K, ...), B at least 2: what to compare on.

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
            f"export: the package {error.name} is missing; pip install 'arcadia[export]'"
        ) from error
    example = torch.from_numpy(observations[:2].copy())
    with _quiet():
        program = torch.onnx.export(
            policy.network,
            (example,),
            input_names=["observation"],
            output_names=["q_values"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    described = {
        "options": json.dumps(jsonable(policy.options)),
        "first_action": str(int(policy.action_space.start)),
        "step": str(policy.step),
    }
    onnx.helper.set_model_props(model, described)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(["q_values"], {"observation": observations})
    with torch.inference_mode():
        ours = policy.network(torch.from_numpy(observations)).numpy()
    difference = float(np.abs(np.asarray(theirs) - ours).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(ours).max())):
        path.unlink()
        raise RuntimeError(
            f"the exported network's values differ by {difference:g} from the policy's; nothing "
            "was written"
        )
    return difference


def _observations(run: RunFolder, policy: Policy) -> np.ndarray:
    """(B, K, ...): the run's held-out states, or else noise."""
    if run.exists("held_out.npz"):
        states = np.load(io.BytesIO(run.read_bytes("held_out.npz")))["states"][:_NUM_CHECKED]
        if len(states) > 1:
            return states
    rng, shape = np.random.default_rng(0), policy.observation_shape
    if policy.network.is_image:
        return rng.integers(256, size=(_NUM_CHECKED, *shape), dtype=np.uint8)
    return rng.normal(size=(_NUM_CHECKED, 1, *shape)).astype(np.float32)


@contextlib.contextmanager
def _quiet():
    """Keeps torch's exporter from telling of its own steps."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
