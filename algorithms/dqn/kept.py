"""What a training run keeps in its folder: checkpoints, replays, evaluations, held-out states."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcadia.atomic import explained
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from algorithms.dqn.algorithm import DQN


def save_checkpoint(run: RunFolder, algo: DQN) -> None:
    """Publishes the replay, then the checkpoint that belongs to it, and only then lets go of the
    replays that no checkpoint needs any more: at every moment one pair is whole."""
    algo.loop.settle()
    step, keep = algo.num_env_steps, algo.options.save_replay
    if keep != "none":
        with _folder_to_save_to() as folder:
            algo.save_replays(folder / "replay")
            run.publish_checkpoint(folder / "replay", step, shelf="replay")
    with _folder_to_save_to() as folder:
        algo.save_to_path(folder, replay=False)
        run.publish_checkpoint(folder, step, keep=2)
    needed = run.checkpoints() if keep == "every" else [step]
    for other in run.checkpoints("replay"):
        if other not in needed:
            run.delete_checkpoint(other, "replay")


def keep_best(run: RunFolder, algo: DQN) -> None:
    """Keeps the policy as the best so far, in place of an earlier one."""
    with _folder_to_save_to() as folder:
        algo.save_to_path(folder, replay=False)
        run.publish_checkpoint(folder, algo.num_env_steps, keep=1, shelf="best")


def restore(run: RunFolder, algo: DQN) -> None:
    """Takes up the last checkpoint, with the replay that was saved beside it."""
    checkpoint, step = run.find_checkpoint("last")
    algo.restore_from_path(checkpoint)
    if step in run.checkpoints("replay"):
        algo.restore_replays(Path(run.checkpoint(step, "replay")))
    else:
        print(
            f"{run.storage.shown()}: its replay was not saved; it fills anew before learning goes "
            "on",
            flush=True,
        )


@contextlib.contextmanager
def _folder_to_save_to() -> Iterator[Path]:
    """A temporary folder on this machine; a full disk there is said in one line."""
    with explained("write a checkpoint", tempfile.gettempdir()):
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            yield Path(folder)


class Evaluations:
    """The evaluations of a run, kept in its `evaluations.json`, and which was best.

    Attributes:
        list: of `step`, `return_mean`, `return_min`, `return_max` and `length_mean`, by step.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.list: list[dict[str, Any]] = []
        if run.exists("evaluations.json"):
            self.list = run.read_json("evaluations.json")

    @property
    def best(self) -> float:
        """The greatest mean score."""
        return max(evaluation["return_mean"] for evaluation in self.list)

    def add(self, result: dict[str, Any], algo: DQN) -> bool:
        """Notes the evaluation in an iteration's result, if any; whether it is the best so far."""
        if not result["evaluated"]:
            return False
        scores = result["evaluation"]["env_runners"]
        names = {
            "return_mean": "episode_return_mean",
            "return_min": "episode_return_min",
            "return_max": "episode_return_max",
            "length_mean": "episode_len_mean",
        }
        new = {ours: float(scores[rllibs]) for ours, rllibs in names.items()}
        # A run that goes on from an earlier checkpoint comes by the same steps again.
        others = [e for e in self.list if e["step"] != algo.num_env_steps]
        # Of equal ones the latest: it has learnt for longer.
        is_best = not others or new["return_mean"] >= max(e["return_mean"] for e in others)
        self.list = sorted([*others, {"step": algo.num_env_steps, **new}], key=lambda e: e["step"])
        self._run.write_json("evaluations.json", self.list)
        return is_best


def save_held_out(run: RunFolder, algo: DQN) -> None:
    """Keeps the states whose greatest values are followed, if there are any."""
    if algo.held_out is not None:
        file = io.BytesIO()
        np.savez_compressed(file, states=algo.held_out)
        run.write_bytes("held_out.npz", file.getvalue())
