"""ONNX files give the policy's values, and one that would not is never written."""

import io
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from algorithms.dqn import load_policy
from algorithms.dqn.export import Exported, write_onnx
from algorithms.dqn.policy import write_policy
from algorithms.dqn.presets import preset
from algorithms.dqn.q_network import QNetwork
from arcadia.cli import main
from arcadia.runs import RunFolder

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the packages of arcadia[export]")


def make_run(folder: Path, held_out: bool) -> str:
    torch.manual_seed(0)
    arguments = {"observation_shape": [4, 84, 84], "num_actions": 6, "num_atoms": 5}
    network = QNetwork(**arguments)
    torch.nn.init.normal_(network.advantage[-1].weight)
    options = preset("fast", game="pong")
    config = {"preset": "fast", "options": {"game": "pong"}}
    run = RunFolder.create(folder, kind="dqn", config=config, seed=1)
    local = folder.parent / "checkpoint"
    local.mkdir(exist_ok=True)
    space = gym.spaces.Discrete(6)
    write_policy(local, network, options, arguments=arguments, action_space=space, step=40)
    run.publish_checkpoint(local, 40)
    if held_out:
        file = io.BytesIO()
        states = np.random.default_rng(0).integers(256, size=(9, 4, 84, 84), dtype=np.uint8)
        np.savez_compressed(file, states=states)
        run.write_bytes("held_out.npz", file.getvalue())
    return str(folder)


@pytest.mark.parametrize("held_out", [True, False])
def test_the_file_gives_the_policys_values_for_any_batch(held_out: bool, tmp_path, capsys):
    run = make_run(tmp_path / "run", held_out)
    assert main(["export", run, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["observations"] == (9 if held_out else 64)
    assert result["checkpoint_step"] == 40
    assert result["max_abs_difference"] < 1e-4
    session = onnxruntime.InferenceSession(result["onnx"], providers=["CPUExecutionProvider"])
    policy = load_policy(run)
    for batch in (1, 7):
        frames = np.random.default_rng(1).integers(256, size=(batch, 4, 84, 84), dtype=np.uint8)
        (values,) = session.run(["q_values"], {"observation": frames})
        np.testing.assert_allclose(values, policy.q_values(frames), atol=1e-4)
    described = session.get_modelmeta().custom_metadata_map
    assert json.loads(described["options"])["game"] == "pong"
    assert (described["first_action"], described["step"]) == ("0", "40")


class Drifting(QNetwork):
    """Gives other values each time: no export of it can agree."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return super().forward(observation) + torch.rand(())


def test_a_file_that_disagrees_is_not_written(tmp_path):
    inputs = {"observation": np.zeros((4, 1, 3), np.float32)}
    drifting = Exported(Drifting((1, 3), 2).eval(), inputs, "q_values")
    with pytest.raises(RuntimeError, match=r"differ by .* nothing was written"):
        write_onnx(drifting, tmp_path / "policy.onnx", {})
    assert not (tmp_path / "policy.onnx").exists()


def test_a_missing_package_is_named_with_the_way_to_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert main(["export", make_run(tmp_path / "run", False)]) == 2
    error = capsys.readouterr().err
    assert "onnxscript is missing; in Arcadia's folder: pip install -c" in error
    assert len(error.splitlines()) == 1
