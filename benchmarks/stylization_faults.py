"""What is lost when `arcadia stylize` is stopped or killed half-way.

A video of two parts is painted by two painters, each time in a new run: straight through; asked to
stop (SIGTERM) and begun again with the same words; killed (SIGKILL, the command and all that it had
started) and begun again; and with both painters killed under it. Told are the frames that were
finished then, those that were painted after it and how many of these had been finished before,
seconds in all, and whether frames and video are the straight run's, byte by byte.

    .venv/bin/python -m benchmarks.stylization_faults --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.replay import machine

_MARK = "ARCADIA_BENCHMARK_MARK"
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one way to be interrupted."""

    finished: int
    """Frames when it happened."""
    painted_after: int
    painted_twice: int
    """Of the frames that were finished."""
    seconds: float
    """Of all calls together."""
    is_same: bool
    """Whether frames and video are the straight run's."""


class Call:
    """One call of the command in a folder, and all that it has started."""

    def __init__(self, folder: Path, words: list[str]):
        self._mark = secrets.token_hex(8)
        self._began = time.perf_counter()
        self._log = (folder / f"{self._mark}.log").open("w")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arcadia", "stylize", *words],
            cwd=folder,
            env=environment | {_MARK: self._mark},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait(self, *codes: int) -> float:
        """Waits for its end; the seconds it took. RuntimeError for an exit code not among these."""
        code = self.process.wait()
        self._log.close()
        if code not in codes:
            raise RuntimeError(Path(self._log.name).read_text()[-3000:])
        return time.perf_counter() - self._began

    def own(self, name: str = "") -> list[int]:
        """The numbers of its processes whose command line holds a name."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_own = self._mark.encode() in (entry / "environ").read_bytes()
                if is_own and name.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def kill(self, name: str = "") -> None:
        """Ends them, as a machine that is switched off does."""
        for number in self.own(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


class Place:
    """A folder in which the video is painted."""

    def __init__(self, folder: Path, words: list[str]):
        folder.mkdir()
        self.folder, self._words = folder, words

    def begin(self) -> Call:
        return Call(self.folder, self._words)

    def finished(self) -> dict[str, int]:
        """Finished frames, by name, with the time when they were written."""
        names = []
        for manifest in (self.folder / "run").glob("videos/*/parts/*.json"):
            names += [f"{r['frame']:08d}.png" for r in json.loads(manifest.read_bytes())["frames"]]
        (frames,) = [*(self.folder / "run").glob("videos/*/frames")] or [self.folder]
        return {
            name: (frames / name).stat().st_mtime_ns for name in names if (frames / name).exists()
        }

    def wait_for(self, call: Call, count: int) -> dict[str, int]:
        """Until so many frames are finished."""
        while len(done := self.finished()) < count:
            if call.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(_POLL_S)
        return done

    def results(self) -> dict[str, bytes]:
        """Frames and the video."""
        files = [*self.folder.glob("run/videos/*/frames/*.png"), self.folder / "out.mp4"]
        return {file.name: file.read_bytes() for file in files}


def stopped(place: Place, count: int) -> tuple[dict[str, int], float]:
    """Asked to stop, and begun again. Finished frames then, and seconds of both calls."""
    call = place.begin()
    place.wait_for(call, count)
    call.process.terminate()
    seconds = call.wait(1)
    done = place.finished()
    return done, seconds + place.begin().wait(0)


def killed(place: Place, count: int) -> tuple[dict[str, int], float]:
    """All of it killed, and begun again."""
    call = place.begin()
    place.wait_for(call, count)
    call.kill()
    seconds = call.wait(-signal.SIGKILL)
    done = place.finished()
    return done, seconds + place.begin().wait(0)


def without_painters(place: Place, count: int) -> tuple[dict[str, int], float]:
    """Its painters killed."""
    call = place.begin()
    done = place.wait_for(call, count)
    call.kill("Painter")
    return done, call.wait(0)


WAYS: dict[str, Callable[[Place, int], tuple[dict[str, int], float]]] = {
    "stopped": stopped,
    "killed": killed,
    "painters killed": without_painters,
}


def main() -> None:
    """Measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=24, help="of the video (default: 24)")
    parser.add_argument("--iterations", type=int, default=30, help="of each (default: 30)")
    parser.add_argument("--size", type=int, default=128, help="longest side (default: 128)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if "ARCADIA_TEST_DATA" not in os.environ:
        parser.error("ARCADIA_TEST_DATA is not set: it names the folder of clips and styles")
    data, count = Path(os.environ["ARCADIA_TEST_DATA"]).resolve(), options.frames
    words = [
        str(data / "videos/bigbuckbunny.mp4"),
        "--style",
        str(data / "styles/starry_night.jpg"),
    ]
    words += ["--preview", f"0:{count}", "--segment-frames", str(count // 2), "--run-in", "0"]
    words += ["--size", str(options.size), "--iterations", str(options.iterations)]
    words += ["--iterations-first", str(2 * options.iterations), "--num-workers", "2"]
    words += ["--num-cpus-per-worker", "1", "--seed", "0", "--keep-frames", "--json"]
    words += ["--output", "out.mp4", "--run-dir", "run"]
    where: dict[str, Any] = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        straight = Place(Path(folder, "straight"), words)
        seconds = straight.begin().wait(0)
        right = straight.results()
        print(f"straight: {len(straight.finished())} frames, {seconds:.1f} s", flush=True)
        outcomes: dict[str, Outcome] = {}
        for at, (name, interrupt) in enumerate(WAYS.items()):
            place = Place(Path(folder, str(at)), words)
            done, spent = interrupt(place, count // 3)
            after = place.finished()
            twice = sum(after[frame] != then for frame, then in done.items())
            outcome = Outcome(
                finished=len(done),
                painted_after=len(after) - len(done) + twice,
                painted_twice=twice,
                seconds=spent,
                is_same=place.results() == right,
            )
            outcomes[name] = outcome
            print(f"{name}: {', '.join(f'{k} {_shown(v)}' for k, v in asdict(outcome).items())}")
    if options.json:
        found = {name: asdict(outcome) for name, outcome in outcomes.items()}
        print(json.dumps({"machine": where, "straight_s": seconds, "faults": found}))


def _shown(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
