"""A run whose runners, shards and learners are on different nodes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_actors_land_on_their_nodes_and_a_node_goes():
    """In a process of its own: it starts a cluster of four nodes on this machine."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.algorithms.dqn.several_nodes"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.strip().splitlines()[-1])
    before = told["before"]
    assert sorted(before["runners"]) == ["more", "players"]
    assert sorted(before["shards"]) == ["more", "players"]  # spread over the machines
    assert before["learners"] == ["gpus", "gpus"]
    assert sorted(told["gpus"]) == [[0], [1]]  # each its own
    assert told["updates"] > 100
    assert told["saved"] == ["shard-00000", "shard-00001", "shards.json"]
    assert told["kept"]
    assert told["faults"]["runner_restarts"] >= 1
    assert told["faults"]["shard_restarts"] == 1
    assert told["after"]["steps"] > 400
    assert told["after"]["updates"] > 0
    assert "more" not in {node for nodes in told["places"].values() for node in nodes}
    for words in ("Replay shard", "Runner", "plays again"):
        assert words in ran.stderr
