"""The folder `platform` never hides the standard library's module of that name."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECK = """
import platform, sys
assert platform.python_implementation() == "CPython", platform
assert platform.__file__ and "site-packages" not in platform.__file__
assert platform.__file__.startswith(sys.base_prefix), platform.__file__
"""


def test_from_the_repositorys_root():
    assert not (ROOT / "platform" / "__init__.py").exists()
    subprocess.run([sys.executable, "-c", CHECK], cwd=ROOT, check=True)


@pytest.mark.usefixtures("ray_session")
def test_in_a_ray_task():
    import ray

    @ray.remote(num_cpus=1)
    def where() -> str:
        import platform

        return str(platform.__file__)

    assert Path(ray.get(where.remote())).parent == Path(sysconfig.get_path("stdlib"))


@pytest.fixture
def head(tmp_path_factory: pytest.TempPathFactory):
    """A head node of its own, with token authentication; yields (address, environment)."""
    folder = tmp_path_factory.mktemp("h")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PYTHONPATH": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    port, dashboard = _free_port(), _free_port()
    process = subprocess.Popen(
        [
            *(f"{Path(sys.executable).parent}/ray", "start", "--head", "--block"),
            *("--num-cpus", "2", "--port", str(port)),
            *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
            # The agent's port is fixed otherwise, and the tests' own Ray has taken it.
            *("--dashboard-agent-listen-port", str(_free_port())),
        ],
        env=environment,
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(dashboard)
        yield f"http://127.0.0.1:{dashboard}", environment
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(120):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


def test_in_a_submitted_job_which_gets_the_packages_and_returns_its_exit_code(head):
    address, environment = head

    def submit(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(f"{Path(sys.executable).parent}/ray", "job", "submit", "--address", address),
                *("--working-dir", ".", "--runtime-env", "platform/runtime_env.yaml", "--"),
                *("python", "tests/platform_job.py", *words),
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    for _ in range(5):  # the dashboard answers before its agent takes jobs
        done = submit()
        if "No available agent" not in done.stderr:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "the job is fine" in done.stdout
    assert submit("3").returncode != 0
