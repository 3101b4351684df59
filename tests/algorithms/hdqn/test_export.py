"""ONNX files of both levels give the policy's values."""

import json

import numpy as np
import pytest

from algorithms.hdqn import load_policy
from arcadia.cli import main

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the packages of arcadia[export]")


@pytest.mark.parametrize(
    "name", ["key_door_run", pytest.param("montezuma_run", marks=pytest.mark.slow)]
)
def test_both_files_give_the_policys_values_for_any_batch(name: str, request, capsys):
    run = request.getfixturevalue(name)
    assert main(["export", run.uri, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    controller, meta = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for path in result["onnx"]
    )
    policy, rng = load_policy(run.uri), np.random.default_rng(1)
    described = controller.get_modelmeta().custom_metadata_map
    assert json.loads(described["goals"]) == list(policy.goals)
    for batch in (1, 7):
        shape = (batch, *policy.observation_shape)
        seen = rng.integers(256, size=shape, dtype=np.uint8)
        seen = seen if len(shape) > 2 else seen.astype(np.float32)
        given = seen if len(shape) > 2 else seen[:, None]
        goal = rng.integers(len(policy.goals), size=batch)
        (values,) = controller.run(["q_values"], {"observation": given, "goal": goal})
        np.testing.assert_allclose(values, policy.q_values(seen, goal), atol=1e-4)
        (values,) = meta.run(["goal_values"], {"observation": given})
        np.testing.assert_allclose(values, policy.goal_values(seen), atol=1e-4)
