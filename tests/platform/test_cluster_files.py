"""cluster.yaml without a cloud: by Ray's own checks and scheduler, and by rules of ours."""

import copy
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import hash_runtime_conf, prepare_config, validate_config

from tests.platform.autoscaling import demand_of, launched

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
TYPES: dict[str, Any] = CONFIG["available_node_types"]


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """As `ray up` fills it in and checks it; what it is made from stays."""
    whole = prepare_config(copy.deepcopy(config))
    validate_config(whole)
    return whole


def check_ours(config: dict[str, Any]) -> None:
    """What Ray does not look at: names of instances, and limits that contradict each other."""
    types = config["available_node_types"]
    assert config["head_node_type"] == "head" and set(types) == {"head", "acting", "learning"}
    known = {"InstanceType", "ImageId", "BlockDeviceMappings", "InstanceMarketOptions"}
    for name, node in types.items():
        assert known >= set(node["node_config"]) >= {"InstanceType", "ImageId"}, name
        assert node.get("min_workers", 0) <= node.get("max_workers", 0), name
    assert sum(node.get("max_workers", 0) for node in types.values()) == config["max_workers"]


def test_ray_takes_it():
    whole = prepared(CONFIG)
    assert whole["head_node_type"] in whole["available_node_types"]
    check_ours(CONFIG)


def _misspell_top(config: dict[str, Any]) -> None:
    config["max_worker"] = config.pop("max_workers")


def _misspell_type(config: dict[str, Any]) -> None:
    config["available_node_types"]["acting"]["max_worker"] = 3


def _misspell_auth(config: dict[str, Any]) -> None:
    config["auth"]["ssh_usr"] = "ubuntu"


def _number_as_text(config: dict[str, Any]) -> None:
    config["idle_timeout_minutes"] = "10"


def _fraction_of_a_cpu(config: dict[str, Any]) -> None:
    config["available_node_types"]["acting"]["resources"]["CPU"] = 0.5


def _no_node_config(config: dict[str, Any]) -> None:
    del config["available_node_types"]["learning"]["node_config"]


def _command_of_words(config: dict[str, Any]) -> None:
    config["setup_commands"][0] = ["chmod", "600"]


@pytest.mark.parametrize(
    "break_it",
    [
        *(_misspell_top, _misspell_type, _misspell_auth, _number_as_text, _fraction_of_a_cpu),
        *(_no_node_config, _command_of_words),
    ],
)
def test_ray_refuses_a_broken_one(break_it: Callable[[dict[str, Any]], None]):
    config = copy.deepcopy(CONFIG)
    break_it(config)
    with pytest.raises(ValidationError):
        prepared(config)


def test_ray_refuses_a_head_type_that_is_none():
    with pytest.raises(ValueError, match="head_node_type"):
        prepared(CONFIG | {"head_node_type": "haed"})


def test_what_ray_overlooks_is_found():
    misspelt = copy.deepcopy(CONFIG)
    node = misspelt["available_node_types"]["acting"]["node_config"]
    node["InstanceTyp"] = node.pop("InstanceType")
    prepared(misspelt)  # Ray leaves node_config to the cloud
    with pytest.raises(AssertionError, match="acting"):
        check_ours(misspelt)
    more = copy.deepcopy(CONFIG)
    more["available_node_types"]["acting"]["max_workers"] += 1
    prepared(more)
    with pytest.raises(AssertionError):
        check_ours(more)


def test_the_head_has_no_work_to_do():
    assert TYPES["head"]["resources"] == {"CPU": 0}
    assert prepared(CONFIG)["available_node_types"]["head"]["max_workers"] == 0


def test_only_what_may_be_lost_is_on_spot_machines():
    market = {
        name: node["node_config"].get("InstanceMarketOptions") for name, node in TYPES.items()
    }
    assert market == {"head": None, "acting": {"MarketType": "spot"}, "learning": None}


def test_idle_nodes_go_and_a_stopped_cluster_costs_nothing():
    assert 0 < CONFIG["idle_timeout_minutes"] <= 15
    assert all(node.get("min_workers", 0) == 0 for node in TYPES.values())
    assert CONFIG["provider"]["cache_stopped_nodes"] is False
    # Ray launches at most this times the running nodes of a type (1 where none runs) at a time.
    assert CONFIG["upscaling_speed"] >= TYPES["acting"]["max_workers"]


@pytest.mark.parametrize("which", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_start_states_token_authentication(which: str):
    starts = [command for command in CONFIG[which] if re.search(r"\bray start\b", command)]
    assert len(starts) == 1
    before, _, after = starts[0].partition("ray start")
    assert re.search(r"\bRAY_AUTH_MODE=token\b", before)
    assert re.search(r"\bRAY_AUTH_TOKEN_PATH=\$HOME/\.ray/auth_token\b", before)
    assert ";" not in before[before.index("RAY_AUTH_MODE") :]  # for `ray start` itself
    assert "--metrics-export-port=8080" in after and "\n" not in starts[0].strip()


def test_every_command_is_one_that_a_shell_understands():
    commands = [c for name in CONFIG if name.endswith("_commands") for c in CONFIG[name]]
    assert len(commands) > 10
    for command in commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_token_is_brought_and_readable_by_its_owner_alone():
    assert CONFIG["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in CONFIG["setup_commands"]


def test_a_job_that_is_stopped_has_time_for_its_checkpoint():
    (start,) = [command for command in CONFIG["head_start_ray_commands"] if "ray start" in command]
    assert "RAY_JOB_STOP_WAIT_TIME_S=120" in start.partition("ray start")[0].split()


def test_the_dashboard_listens_on_the_head_alone():
    (start,) = [command for command in CONFIG["head_start_ray_commands"] if "ray start" in command]
    assert start.split().count("--dashboard-host=127.0.0.1") == 1
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start.split()
    assert "dashboard" not in "".join(CONFIG["worker_start_ray_commands"])
    assert "IpPermissions" not in CONFIG["provider"]["security_group"]  # no port is opened


def test_what_an_installation_needs_is_brought_and_no_more():
    own = {remote: local for remote, local in CONFIG["file_mounts"].items() if "arcadia/" in remote}
    assert all(remote == f"~/arcadia/{local}" for remote, local in own.items())
    assert set(own.values()) == {
        *("constraints.txt", "pyproject.toml", "README.md", "LICENSE", "NOTICE"),
        *("platform/arcadia", "algorithms", "pipelines", "tune_configs"),
    }
    assert all((ROOT / local).exists() for local in own.values())
    assert "__pycache__/" in CONFIG["rsync_exclude"]


def test_ray_reads_also_what_is_excluded(tmp_path: Path):
    """Why `.` is not mounted: its hash would be of .venv, .git and runs, too."""
    (tmp_path / ".venv").mkdir()
    hashes = []
    for content in ("a", "b"):
        (tmp_path / ".venv" / "large").write_text(content)
        mounts = {"~/arcadia": str(tmp_path)}
        hashes.append(hash_runtime_conf(mounts, None, {"rsync_exclude": [".venv/"]}, True)[1])
    assert hashes[0] != hashes[1]


def test_jobs_start_nodes_of_the_right_types():
    config = prepared(CONFIG)
    act = demand_of("python -m arcadia train dqn --game pong --num-env-runners 60")
    assert launched(config, act) == ({"acting": 2}, 0)
    learn = demand_of(
        "python -m arcadia train dqn --game pong --num-env-runners 200 --num-replay-shards 8 "
        "--num-learners 2 --num-gpus-per-learner 1"
    )
    nodes, infeasible = launched(config, learn)
    assert not infeasible and nodes["learning"] == 2
    # Those of the learners have CPUs to spare for actors.
    assert nodes["acting"] * TYPES["acting"]["resources"]["CPU"] >= 200 + 8 - 2 * 16


def test_limits_hold_whatever_is_asked_for():
    nodes, _ = launched(prepared(CONFIG), [({"CPU": 1}, 5_000), ({"GPU": 1}, 50)])
    assert nodes == {"acting": 16, "learning": 4}
    assert launched(prepared(CONFIG), [({"GPU": 2}, 1)])[1] == 1  # no node has two
