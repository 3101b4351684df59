"""A run whose runners, shards and learners are on different nodes."""

import pytest

from tests.scripts import told_by


@pytest.mark.slow
def test_actors_land_on_their_nodes_and_a_node_goes():
    """In a process of its own: it starts a cluster of four nodes on this machine."""
    told, said = told_by("tests.algorithms.dqn.several_nodes", timeout_s=300)
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
        assert words in said
