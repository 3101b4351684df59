"""What all tests share: one Ray for the session, a head node to submit to, and real files."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Before Ray and torch are imported: both read their environment then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_LOG_TO_DRIVER", "0")
os.environ.pop("RAY_ADDRESS", None)  # the tests never run on somebody's cluster
if os.environ.get("ARCADIA_TEST_GPU") != "1":  # the same computations on all machines
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

from arcadia.cluster import connect, state_environment

state_environment()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests of GPUs where there is none, or where nobody asked for them."""
    import torch

    skip = pytest.mark.skip(reason="no GPU, or ARCADIA_TEST_GPU is not 1: see `make test-gpu`")
    for item in items if not torch.cuda.is_available() else []:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray on this machine with four logical CPUs, started once."""
    import ray

    connect(num_cpus=4)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photographs, videos and weights; skips where there is none."""
    folder = os.environ.get("ARCADIA_TEST_DATA")
    if not folder:
        pytest.skip("ARCADIA_TEST_DATA is not set: it names the folder of real files")
    return Path(folder)


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes file systems of a size, such as "16k", of the test's own."""
    made: list[Path] = []

    def make(size: str) -> Path:
        folder = tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this machine lets nobody mount a small disk")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Head(NamedTuple):
    """A head node of a test's own: its two addresses, and the environment that may use it."""

    address: str
    """`host:port`, as `--address` takes it."""
    dashboard: str
    """`http://host:port`, where jobs are submitted."""
    metrics: str
    """Where Prometheus scrapes the node; what is set is there after a second."""
    environment: dict[str, str]
    """Holds its token and its folder; RAY_ADDRESS is not set in it."""


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head node with four CPUs and token authentication, beside any other Ray that runs here."""
    # Not pytest's folder: Ray's sockets are below it, and their paths may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": folder,
            "RAY_metrics_report_interval_ms": "1000",
            "PYTHONPATH": "",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        port, dashboard, client, agent, metrics = _free_ports(5)
        with open(Path(folder) / "log", "w+") as log:
            process = subprocess.Popen(
                [
                    *("ray", "start", "--head", "--block", "--num-cpus", "4"),
                    *("--node-ip-address", "127.0.0.1", "--port", str(port)),
                    *("--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)),
                    # Fixed otherwise: another Ray on this machine may have taken them.
                    *("--ray-client-server-port", str(client)),
                    *("--dashboard-agent-listen-port", str(agent)),
                    *("--metrics-export-port", str(metrics)),
                ],
                env=environment,
                cwd=folder,
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                for listening in (dashboard, agent):
                    _wait_for(listening, process, Path(log.name))
                yield Head(
                    f"127.0.0.1:{port}",
                    f"http://127.0.0.1:{dashboard}",
                    f"http://127.0.0.1:{metrics}/metrics",
                    environment,
                )
            finally:
                # It alone first: it ends its own in order, which takes 30 s once they are dead.
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.25)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}:\n{log.read_text()}")
