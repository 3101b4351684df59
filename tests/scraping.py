"""Jobs of Arcadia's as processes, and what Prometheus gets of them at a head node's agent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from arcadia.gauges import METRICS, metric_of, run_label
from arcadia.storage import Storage

if TYPE_CHECKING:
    from tests.conftest import Head

ROOT = Path(__file__).parents[1]
PERIOD_S = 0.25
_JOB = """
import sys
from arcadia.cli import main
code = main(sys.argv[1:])
print("over", flush=True)
sys.stdin.readline()
sys.exit(code)
"""


class Sample(NamedTuple):
    """A value of a gauge of Arcadia's."""

    name: str
    """Without the `ray_` that Ray puts before it."""
    labels: dict[str, str]
    value: float


class Job(NamedTuple):
    """A job that is over."""

    code: int
    error: str
    """What it wrote to stderr."""
    scrapes: list[list[Sample]]
    """What was seen of its own gauges, in their order; those that had any."""

    def values(self, tag: str) -> list[float]:
        """One a scrape, of those that had the gauge."""
        name, labels = metric_of(tag)
        samples = [s for scrape in self.scrapes for s in scrape if s.name == name]
        return [s.value for s in samples if labels.items() <= s.labels.items()]

    def names(self, kind: str) -> set[str]:
        """Of all its gauges, each of which is described for its kind and is labelled with it."""
        assert self.scrapes, self.error
        described = {metric.name for metric in METRICS if kind in metric.kinds}
        own = [sample for scrape in self.scrapes for sample in scrape]
        assert {sample.labels["kind"] for sample in own} == {kind}
        names = {sample.name for sample in own}
        assert names <= described, names - described
        return names


class _Scraper:
    """Scrapes an endpoint again and again, in a thread; a context manager."""

    def __init__(self, url: str):
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._scrape, daemon=True)
        self._error: BaseException | None = None
        self.scrapes: list[list[Sample]] = []

    def __enter__(self) -> _Scraper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _scrape(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            try:
                self.scrapes.append(scraped(self._url))
            except OSError:  # the agent may only be starting
                continue
            except BaseException as error:
                self._error = error
                return


def scraped(url: str) -> list[Sample]:
    """What an endpoint says now of gauges of Arcadia's; each is one and has a help text."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    samples = []
    for family in text_string_to_metric_families(text):
        if family.name.startswith("ray_arcadia_"):
            assert family.type == "gauge" and family.documentation, family
            samples += [(s.name.removeprefix("ray_"), s.labels, s.value) for s in family.samples]
    return [Sample(*sample) for sample in samples]


def run_job(head: Head, folder: Path, run: Path, *words: object) -> Job:
    """Carries a command out on a head node, and scrapes it.

    Args:
        head: the node.
        folder: where the command stands.
        run: its run's folder, or where else it writes.
        words: of the command.
    """
    command = [sys.executable, "-c", _JOB, *map(str, words), "--address", head.address]
    path = f"{ROOT / 'platform'}{os.pathsep}{ROOT}"
    with _Scraper(head.metrics) as scraper, open(folder / "stderr", "w+") as error:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=head.environment | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=error,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            for line in process.stdout:
                if line == "over\n":
                    break
            time.sleep(2.5)  # what was set last is passed on, and not dropped at once
        finally:
            with contextlib.suppress(OSError):
                process.stdin.write("\n")
                process.stdin.close()
            code = process.wait(60)
        error.seek(0)
        said = error.read()
    label = run_label(Storage.at(run))
    own = [[s for s in scrape if s.labels["run"] == label] for scrape in scraper.scrapes]
    return Job(code, said, [scrape for scrape in own if scrape])
