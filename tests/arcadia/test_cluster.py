"""Connecting to Ray: here, at an address with its token, or not at all."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from arcadia.cluster import check_gpus, connect, state_environment
from arcadia.errors import UserError

ROOT = Path(__file__).parents[2]


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that is connected to nothing yet."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_token_authentication_is_stated_and_ones_own_word_is_kept(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    state_environment()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    state_environment()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.usefixtures("ray_session")
def test_connecting_again_changes_nothing():
    import ray

    node = ray.get_runtime_context().get_node_id()
    assert connect(num_cpus=1)["CPU"] == 4
    assert ray.get_runtime_context().get_node_id() == node


@pytest.mark.usefixtures("ray_session")
def test_a_ray_of_our_own_has_no_dashboard():
    commands = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    dashboards = [words for words in commands if "dashboard.py" in words]
    # Its process keeps Ray's statistics of use, and serves no page.
    assert dashboards and all("--disable-frontend" in words for words in dashboards)


@pytest.mark.usefixtures("ray_session")
def test_more_gpus_than_there_are_is_refused():
    check_gpus(0)
    there = connect().get("GPU", 0.0)
    check_gpus(there)
    with pytest.raises(UserError, match=rf"{there + 1:g}: the cluster has {there:g} GPUs"):
        check_gpus(there + 1)


def _train(head, tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "arcadia", "train", "dqn", "--env", "CartPole-v1"),
            *("--address", head.address, "--run-dir", str(tmp_path / "run"), *words),
        ],
        cwd=tmp_path,
        env=head.environment | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_actors_wait_for_gpus_that_a_cluster_may_grow_to(head, tmp_path):
    actors = ("--num-env-runners", "1", "--num-learners", "2", "--num-gpus-per-learner", "1")
    process = _train(head, tmp_path, *actors)
    assert process.stdout is not None
    too_long = threading.Timer(90, process.kill)  # ends the output, too
    too_long.start()
    try:
        waits = any("need 2 GPUs and the cluster has 0" in line for line in process.stdout)
    finally:
        too_long.cancel()
        process.kill()
        process.wait()
    assert waits


def test_a_gpu_for_the_process_that_was_started_is_not_waited_for(head, tmp_path):
    process = _train(head, tmp_path, "--num-gpus-per-learner", "1")
    told, _ = process.communicate(timeout=90)
    assert process.returncode == 2, told
    assert "num_gpus_per_learner 1: the cluster has 0 GPUs" in told
    assert not (tmp_path / "run").exists()


def test_an_address_that_cannot_be_one_or_where_nobody_is_is_told():
    code = """
from arcadia.cluster import connect, state_environment
from arcadia.errors import UserError
state_environment()
for address in ("here", "host:", ":6379", "127.0.0.1:port", "127.0.0.1:1", "ray://127.0.0.1:1",
                "[::1]:1", "nowhere.invalid:6379"):
    try:
        connect(address)
    except UserError as error:
        print(error)
import ray
assert not ray.is_initialized()
"""
    done = run_python(code, dict(os.environ))
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 8
    assert all("give host:port, ray://host:port or auto" in line for line in told[:4])
    assert all("no Ray answers there" in line for line in told[4:])
    assert 'address "ray://127.0.0.1:1"' in told[5]


CONNECT = """
import sys
from arcadia.cluster import connect, state_environment
state_environment()
print(connect(sys.argv[1] if len(sys.argv) > 1 else None, num_cpus=3)["CPU"])
"""


def test_a_cluster_is_joined_by_option_and_by_variable(head):
    joining = f"import sys; sys.argv.append({head.address!r})\n{CONNECT}"
    joined = run_python(joining, head.environment)
    assert joined.stdout == "4.0\n", joined.stderr
    by_variable = run_python(CONNECT, head.environment | {"RAY_ADDRESS": head.address})
    assert by_variable.stdout == "4.0\n", by_variable.stderr


@pytest.mark.parametrize(
    "token",
    [
        "",
        pytest.param("0" * 64, marks=pytest.mark.slow),  # Ray tries again for 20 s
    ],
)
def test_a_cluster_is_not_joined_without_its_token(token: str, head, tmp_path):
    (tmp_path / "token").write_text(token)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "arcadia", "train", "dqn", "--env", "CartPole-v1"),
            *("--address", head.address, "--run-dir", str(tmp_path / "run")),
        ],
        cwd=tmp_path,
        env=head.environment
        | {
            "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
            "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    told = done.stderr.splitlines()[-1]  # Ray's own core may warn before it
    assert f'address "{head.address}": Ray does not let us in' in told
    assert "RAY_AUTH_TOKEN_PATH" in told
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_an_address_ray_starts_beside_the_cluster_that_runs_here(head):
    # The folder of that cluster is known to this process, so that Ray could find it.
    assert head.environment["RAY_TMPDIR"]
    done = run_python(CONNECT, head.environment)
    assert done.stdout == "3.0\n", done.stderr
