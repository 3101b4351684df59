"""A real Prometheus, as docs/watching.md starts it, answers what the dashboard asks."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.scraping import run_job

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("prometheus is not installed")
    return found


@pytest.fixture(scope="module")
def prometheus(program: str, head, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One on loopback with the configuration that Ray writes; its address."""
    session = Path(head.environment["RAY_TMPDIR"], "ray", "session_latest")
    config = session / "metrics" / "prometheus" / "prometheus.yml"
    for _ in range(120):
        if config.exists() and (session / "prom_metrics_service_discovery.json").exists():
            break
        time.sleep(0.25)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("prometheus")
    words = [f"--config.file={config}", f"--web.listen-address={address}"]
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(
            [program, *words, f"--storage.tsdb.path={folder / 'data'}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(120):
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    urllib.request.urlopen(f"http://{address}/-/ready", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.25)
            here = psutil.Process(process.pid).net_connections()
            assert {c.laddr.ip for c in here if c.status == "LISTEN"} == {"127.0.0.1"}
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


def ask(url: str, path: str, **words: str) -> Any:
    """The data of an answer; fails with what Prometheus says is wrong."""
    query = urllib.parse.urlencode(words)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        pytest.fail(f"{words}: {error.read().decode()}")


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return json.loads((ROOT / "platform" / "grafana" / "arcadia.json").read_text())


def expressions(board: dict[str, Any]) -> dict[str, str]:
    """By the panel's title and the place of each, with all kinds and runs in the variables."""
    return {
        f"{panel['title']} {target['refId']}": re.sub(r"\$(kind|run)\b", ".+", target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }


def test_every_expression_of_the_dashboard_is_one(prometheus: str, board: dict[str, Any]):
    found = expressions(board)
    assert len(found) > 25
    for expression in found.values():
        ask(prometheus, "query", query=expression)


def test_a_run_is_on_the_dashboard(prometheus: str, head, board: dict[str, Any], tmp_path: Path):
    words = ["--hidden-size", 12, "--max-length", 5, "--max-value", 3, "--batch-size", 8]
    words += ["--validation-examples", 50, "--validation-period", 500, "--seed", 1]
    words += ["--num-cpus-per-worker", 1, "--steps", 1_000_000, "--minutes", 0.75]
    words += ["--run-dir", tmp_path / "run"]
    job = run_job(head, tmp_path, tmp_path / "run", "train", "sequence", *words)
    assert job.code == 0, job.error
    label = f"{tmp_path.name}/run"
    found = expressions(board)
    for panel, tag in (("Examples a second A", "train/examples_per_s"), ("Steps A", "step")):
        # Over the last minutes: by now the gauges may be gone.
        series = ask(prometheus, "query", query=f"last_over_time({found[panel]}[5m])")["result"]
        values = [float(s["value"][1]) for s in series if s["metric"]["run"] == label]
        assert values and set(values) <= set(job.values(tag)), panel
    variables = {v["name"]: v["query"]["query"] for v in board["templating"]["list"][1:]}
    for name, value in (("kind", "sequence"), ("run", label)):
        (series,) = re.fullmatch(rf"label_values\((.+), {name}\)", variables[name]).groups()  # type: ignore[union-attr]
        match = series.replace("$kind", ".+")
        assert value in ask(prometheus, f"label/{name}/values", **{"match[]": match})
    cpu = ask(prometheus, "query", query=f"last_over_time({found['CPU A']}[5m])")["result"]
    assert cpu and 0 <= float(cpu[0]["value"][1]) <= 100
