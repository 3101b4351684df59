"""Run folders: what a job was, with what code and options, how it went, and what it left.

A run is a folder, on a disk or in an object store:

    run.json      kind, status, times, seed, command, versions, machine, commit
    config.json   the resolved options
    checkpoints/  one whole folder a step, named by the step in nine digits
    best/         likewise, the checkpoint that did best in evaluation
    replay/       likewise, what was learnt from, kept apart because it is large
    tensorboard/  event files
    report.html   and what else the job writes

`run.json` is written last when a run is made: a folder without one holds no run.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from arcadia import provenance
from arcadia.atomic import explained
from arcadia.errors import Incomplete, UserError, did_you_mean
from arcadia.jsonable import jsonable, parsed
from arcadia.scratch import Scratch
from arcadia.storage import Storage

Status = Literal["running", "completed", "stopped", "failed"]
Shelf = Literal["checkpoints", "best", "replay"]

_FORMAT = 1
_KINDS: dict[str, Any] = dict(
    format=int, kind=str, status=str, seed=int | None, history=list, details=dict
)
"""What is in `run.json`, as far as a run is worked with."""


class RunFolder:
    """One run. Made by `create` or `open`."""

    def __init__(self, storage: Storage):
        self.storage = storage
        self._config: dict[str, Any] | None = None
        self._scratch = Scratch(storage)

    @classmethod
    def create(
        cls,
        run_dir: str | os.PathLike[str] | Storage,
        *,
        kind: str,
        config: Mapping[str, Any],
        seed: int | None,
        command: Sequence[str] | None = None,
    ) -> RunFolder:
        """Starts a run with status "running".

        Args:
            run_dir: a local folder, which need not exist, or an `s3://` or `gs://` address.
            kind: what produces the run, such as "dqn".
            config: the resolved options; see `jsonable` for what may be in it.
            seed: None when the run was not seeded.
            command: the command line that started it.

        Raises:
            UserError: the folder holds a run already, or cannot be written.
        """
        run = cls.check_free(run_dir)
        now = _now()
        run.write_json("config.json", config)
        run.write_json(
            "run.json",
            {
                "format": _FORMAT,
                "kind": kind,
                "status": "running",
                "started": now,
                "ended": None,
                "history": [{"status": "running", "at": now}],
                "details": {},
                **provenance.origin(command, seed),
            },
        )
        return run

    @classmethod
    def check_free(cls, run_dir: str | os.PathLike[str] | Storage) -> RunFolder:
        """Refuses a place that holds a run already, or can hold none, before a job spends time.

        Raises:
            UserError: there is a run, or the place cannot be read or written.
        """
        run = cls(run_dir if isinstance(run_dir, Storage) else Storage.at(run_dir))
        if run.exists("run.json"):
            raise UserError(
                f"{run.storage.shown()}: already holds a run; go on with it by "
                f"--resume {run.storage.shown()} or choose another --run-dir"
            )
        run.storage.check_writable()
        return run

    @classmethod
    def open(cls, run_dir: str | os.PathLike[str] | Storage) -> RunFolder:
        """A run that is there, to go on with it or to look at it.

        Raises:
            UserError: there is no such folder, or no run in it, or one of a newer format.
        """
        run = cls(run_dir if isinstance(run_dir, Storage) else Storage.at(run_dir))
        if not run.exists("run.json"):
            raise UserError(_no_run(run.storage))
        _ = run.info, run.config  # which says what is wrong with them
        return run

    @staticmethod
    def is_run(run_dir: str | os.PathLike[str]) -> bool:
        """Whether a run is there."""
        return Storage.at(run_dir).exists("run.json")

    @property
    def uri(self) -> str:
        """The path or address that `open` takes."""
        return self.storage.uri

    @property
    def path(self) -> Path:
        """The run's local folder, absolute. ValueError when it is in an object store."""
        return self.storage.local_path

    @property
    def name(self) -> str:
        """The last part of the run's path or address."""
        return self.storage.shown().rstrip("/").rpartition("/")[2]

    @property
    def info(self) -> dict[str, Any]:
        """What `run.json` says now; another process may be writing it."""
        info, where = self.read_json("run.json"), self.storage.shown("run.json")
        if not isinstance(info, dict) or "kind" not in info or "status" not in info:
            raise UserError(f"{where}: does not describe a run")
        written = info.get("format", 0)
        if isinstance(written, int) and written > _FORMAT:
            versions = info.get("versions")
            by = versions.get("arcadia") if isinstance(versions, dict) else None
            raise UserError(f"{where}: written by a newer Arcadia ({by}); update this one")
        for name, kinds in _KINDS.items():
            if name in info and (not isinstance(info[name], kinds) or info[name] is True):
                raise UserError(
                    f"{where}: {name} is {str(info[name])[:40]!r}, which no run has; mend the file"
                )
        return info

    @property
    def config(self) -> dict[str, Any]:
        """The resolved options, as JSON has them."""
        if self._config is None:
            config = self.read_json("config.json")
            if not isinstance(config, dict):
                raise UserError(
                    f"{self.storage.shown('config.json')}: does not hold options by their names"
                )
            self._config = config
        return self._config

    @property
    def kind(self) -> str:
        return self.info["kind"]

    @property
    def seed(self) -> int | None:
        return self.info.get("seed")

    @property
    def status(self) -> Status:
        """The last status set; a run that was killed outright still says "running"."""
        return self.info["status"]

    def set_status(self, status: Status, **details: Any) -> None:
        """Rewrites `run.json` with a status, its time, and details that add to earlier ones."""
        info, now = self.info, _now()
        info["status"] = status
        info["ended"] = None if status == "running" else now
        info.setdefault("history", []).append({"status": status, "at": now})
        info.setdefault("details", {}).update(details)
        self.write_json("run.json", info)

    @contextlib.contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Gives the run, while it is "running", the status that fits an exception of the block:
        "stopped" for a second signal, else "failed". `Incomplete` comes from who has set one."""
        try:
            yield
        except Incomplete:
            raise
        except BaseException as error:
            is_stop = isinstance(error, KeyboardInterrupt)
            with contextlib.suppress(UserError):
                if self.status == "running":
                    text = f"{type(error).__name__}: {error}"
                    self.set_status("stopped" if is_stop else "failed", error=text)
            raise

    def exists(self, name: str) -> bool:
        """Whether the run holds a file or a folder of this relative name."""
        return self.storage.exists(name)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Puts a whole file into the run, replacing what is there, or fails with UserError."""
        self.storage.write_bytes(name, data)

    def write_text(self, name: str, text: str) -> None:
        """`write_bytes` of UTF-8 text."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """`write_text` of `jsonable(value)`, indented, keys sorted."""
        self.write_text(name, json.dumps(jsonable(value), indent=2, sort_keys=True) + "\n")

    def read_bytes(self, name: str) -> bytes:
        """A file of the run. UserError when it is not there."""
        return self.storage.read_bytes(name)

    def read_json(self, name: str) -> Any:
        """A JSON file of the run. UserError when it is not there or not JSON."""
        return parsed(self.read_bytes(name), self.storage.shown(name))

    def publish_checkpoint(
        self,
        local_dir: str | os.PathLike[str],
        step: int,
        keep: int | None = None,
        shelf: Shelf = "checkpoints",
    ) -> None:
        """Adds a copy of a local folder as the checkpoint of `step`, whole or not at all.

        Args:
            local_dir: what to copy.
            step: the count that the run goes by, at least 0; a checkpoint it has already is
                replaced.
            keep: how many to keep, at least 1; the others go once the new one is complete, the
                lowest steps first. None keeps all.
            shelf: where among the run's folders of checkpoints.
        """
        if step < 0 or (keep is not None and keep < 1):
            raise ValueError(f"step {step} must be at least 0, keep {keep} at least 1")
        self.storage.publish_tree(local_dir, _checkpoint(step, shelf))
        self.storage.delete_unfinished(shelf)
        if keep is not None:
            others = [other for other in self.checkpoints(shelf) if other != step]
            for other in others[: max(len(others) + 1 - keep, 0)]:
                self.storage.delete_tree(_checkpoint(other, shelf))

    def checkpoints(self, shelf: Shelf = "checkpoints") -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        names = (tree.rpartition("/")[2] for tree in self.storage.trees(shelf))
        return sorted(int(name) for name in names if name.isdecimal())

    def has_checkpoint(self) -> bool:
        """Whether there is a complete one. UserError where there are only damaged ones."""
        if self.checkpoints():
            return True
        if damage := self.storage.damage("checkpoints"):
            raise UserError(
                f"{self.storage.shown()}: has no whole checkpoint: {damage}; bring it back from a "
                "copy, or begin anew with another --run-dir"
            )
        return False

    def checkpoint(self, step: int, shelf: Shelf = "checkpoints") -> Path:
        """The checkpoint of `step` as a local folder to read. UserError when there is none."""
        return self.storage.fetch_tree(_checkpoint(step, shelf))

    def copy_checkpoint(self, step: int, folder: Path) -> None:
        """Copies the checkpoint of `step` to a new local folder. UserError when there is none."""
        self.storage.copy_tree(_checkpoint(step, "checkpoints"), folder)

    def delete_checkpoint(self, step: int, shelf: Shelf = "checkpoints") -> None:
        """Removes the checkpoint of `step`, if there is one."""
        self.storage.delete_tree(_checkpoint(step, shelf))

    def find_checkpoint(self, which: str = "last") -> tuple[Path, int]:
        """The checkpoint a person asked for.

        Args:
            which: "last"; "best", the one that did best in evaluation during training; or a step.

        Returns:
            A local folder to read, and its step.

        Raises:
            UserError: there is no such checkpoint, naming those there are.
        """
        where, steps, best = self.storage.shown(), self.checkpoints(), self.checkpoints("best")
        if not steps and not best and not self.has_checkpoint():
            raise UserError(f"{where}: has no checkpoint yet; train for longer")
        if which == "best":
            if not best:
                raise UserError(
                    f"{where}: has no best checkpoint, for nothing was evaluated during its "
                    "training; ask for the checkpoint last"
                )
            return self.checkpoint(best[-1], "best"), best[-1]
        if which == "last" and steps:
            return self.checkpoint(steps[-1]), steps[-1]
        if which.isdecimal() and int(which) in steps:
            return self.checkpoint(int(which)), int(which)
        if which.isdecimal() and int(which) in best:
            return self.checkpoint(int(which), "best"), int(which)
        there = ", ".join(["last", *(["best"] if best else []), *map(str, sorted({*steps, *best}))])
        raise UserError(f"checkpoint {which!r}: {where} has none of that name; there is {there}")

    def scratch(self, name: str) -> Path:
        """A local path for a writer that appends, such as TensorBoard's; see `Scratch.path`."""
        return self._scratch.path(name)

    def sync(self) -> None:
        """Brings what changed in the `scratch` paths to the run; nothing to do when local."""
        self._scratch.sync()

    def fetch(self, name: str) -> Path:
        """A file or folder of the run as a local path to read; it may turn out not to exist."""
        return self._scratch.fetch(name)


def default_run_dir(kind: str, root: str | os.PathLike[str] = "runs") -> Path:
    """Makes and returns a new empty folder for a run, such as `runs/dqn-20261122-233200`.

    The folder is made at once, so that two jobs which start in the same second differ (`-2`).
    """
    stamp = f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    with explained("write", root):
        for number in range(1, 10_000):
            path = Path(root) / (stamp if number == 1 else f"{stamp}-{number}")
            with contextlib.suppress(FileExistsError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir()
                return path
    raise UserError(f"{root}: has no free name left for {stamp}; choose another --run-dir")


def _checkpoint(step: int, shelf: Shelf) -> str:
    return f"{shelf}/{step:09d}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _no_run(storage: Storage) -> str:
    """Why there is no run there, and what may have been meant."""
    where = storage.shown()
    if not storage.is_local:
        return f"{where}: holds no run (no run.json); give the address of a run's folder"
    path = storage.local_path
    with explained("read", path):
        if not path.exists():
            siblings = path.parent.iterdir() if path.parent.is_dir() else ()
            runs = [sibling.name for sibling in siblings if (sibling / "run.json").exists()]
            return f"{where}: no such folder{did_you_mean(path.name, runs)}"
        if not path.is_dir():
            return f"{where}: is a file; give the folder of a run"
        inside = sorted(path.glob("*/run.json"), key=lambda file: file.stat().st_mtime)
    if inside:
        return f'{where}: holds runs but is none itself; did you mean "{inside[-1].parent}"?'
    return f"{where}: holds no run (no run.json); give the folder of a run"
