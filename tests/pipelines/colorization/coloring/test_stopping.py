"""What happens to a colouring from outside: it goes on where it was."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from arcadia.media import image_bytes
from arcadia.runs import RunFolder

ROOT = Path(__file__).parents[4]
NUMBER = 130  # in parts of three

pytestmark = pytest.mark.slow


class Job:
    """The command as a process of its own, with a Ray of its own."""

    def __init__(self, folder: Path, weights: Path):
        self.out = folder / "out"
        self._mark = secrets.token_hex(8)
        self._log = folder / f"log-{self._mark}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        paths = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
        words = ["in", "--weights", str(weights), "--output", "out", "--run-dir", "run", "--json"]
        words += ["--num-workers", "2", "--num-cpus-per-worker", "1"]
        with open(self._log, "w") as log, open(f"{self._log}.out", "w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arcadia", "colorize", *words],
                cwd=folder,
                env=environment | {"PYTHONPATH": paths, "ARCADIA_TEST_MARK": self._mark},
                stdout=out,
                stderr=log,
                start_new_session=True,
            )

    @property
    def error(self) -> str:
        return self._log.read_text()

    @property
    def told(self) -> str:
        return Path(f"{self._log}.out").read_text()

    @property
    def result(self) -> dict:
        # Ray tells of a killed worker when it likes, also behind the result.
        return json.loads([line for line in self.told.splitlines() if line[:1] == "{"][-1])

    def results(self) -> dict[str, int]:
        """Those that are written, with the time of their change."""
        return {path.name: path.stat().st_mtime_ns for path in self.out.glob("[!.]*")}

    def wait_for_results(self, count: int) -> None:
        for _ in range(6000):
            assert self.process.poll() is None, self.error
            if len(self.results()) >= count:
                return
            time.sleep(0.05)
        raise TimeoutError(self.error)

    def workers(self) -> Iterator[int]:
        """The workers' process numbers."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                name, mark = (entry / "cmdline").read_bytes(), self._mark.encode()
                if b"Colorist" in name and mark in (entry / "environ").read_bytes():
                    yield int(entry.name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    y, x = np.mgrid[:480, :640]
    for number in range(NUMBER):
        image = np.stack([x % 256, y % 256, (x + y + number) % 256], -1).astype(np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.jpg").write_bytes(image_bytes(image, ".jpg"))
    return tmp_path


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_job_that_ends_early_goes_on_with_the_same_words(place: Path, weights: Path, how: str):
    job = Job(place, weights)
    job.wait_for_results(20)
    job.process.send_signal(getattr(signal, how))
    code = job.process.wait(120)
    time.sleep(2 * (how == "SIGKILL"))  # until what it left behind has ended
    before = job.results()
    assert 20 <= len(before) < NUMBER
    if how != "SIGKILL":
        assert code == 1 and "Traceback" not in job.error
        assert job.error.splitlines()[-1].startswith("arcadia: stopped before all was coloured")
        assert job.result["colored"] == len(before) == job.result["images"]
        assert RunFolder.open(place / "run").status == "stopped"
    job = Job(place, weights)
    assert job.process.wait(240) == 0, job.error
    after = job.results()
    kept = [name for name, time in before.items() if after[name] == time]
    assert len(after) == job.result["images"] == NUMBER
    assert len(kept) == len(before) if how != "SIGKILL" else len(kept) > 0
    assert job.result["colored"] == NUMBER - len(kept)


def test_workers_that_are_killed_are_replaced(place: Path, weights: Path):
    job = Job(place, weights)
    job.wait_for_results(20)
    killed = list(job.workers())
    assert len(killed) == 2
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    assert job.process.wait(240) == 0, job.error
    assert job.result["images"] == job.result["colored"] == len(job.results()) == NUMBER
    assert job.result["problems"] == []
