"""Inside a trial of a sweep, in a process of Tune's: the run that it writes, what it tells Tune."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arcadia.runs import RunFolder
from arcadia.storage import Storage

RUN = "run"
"""Folder of a trial's run, in the trial's own."""


def trial_run(*, kind: str, config: Mapping[str, Any], seed: int | None) -> RunFolder:
    """The run of this trial, in the sweep's folder, where commands find it as any other.

    It is a new one, or goes on: from the checkpoint that Tune gives, which is another trial's
    where population based training takes that over, else from its own.

    Args:
        kind: of the run.
        config: what decides the result; where a trial takes another one's over, it changes.
        seed: of the run.
    """
    from pyarrow.fs import LocalFileSystem
    from ray import tune

    context: Any = tune.get_context().get_storage()
    path, filesystem = f"{context.trial_fs_path}/{RUN}", context.storage_filesystem
    place = Storage.at(path, None if isinstance(filesystem, LocalFileSystem) else filesystem)
    if not place.exists("run.json"):
        return RunFolder.create(place, kind=kind, config=config, seed=seed)
    run = RunFolder.open(place)
    run.write_json("config.json", config)
    run.set_status("running")
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        told = checkpoint.get_metadata()
        step, own = told["step"], tune.get_context().get_trial_id()
        with checkpoint.as_directory() as folder:
            run.publish_checkpoint(folder, step)
            if told.get("trial", own) != own:  # what did best here was another network
                run.publish_checkpoint(folder, step, keep=1, shelf="best")
        for other in run.checkpoints():
            if other != step:
                run.delete_checkpoint(other)
    return run


class TrialReport:
    """Tells Tune of a validation, with the checkpoint of that step.

    Args:
        run: the trial's, which holds a checkpoint of every step that is told.
    """

    def __init__(self, run: RunFolder):
        self._run = run

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Reports "step" and the figures by their names."""
        from ray import tune

        with tempfile.TemporaryDirectory(prefix="arcadia-") as parent:
            folder = Path(parent, "checkpoint")
            self._run.copy_checkpoint(step, folder)
            checkpoint = tune.Checkpoint.from_directory(folder)
            checkpoint.set_metadata({"step": step, "trial": tune.get_context().get_trial_id()})
            tune.report({"step": step, **figures}, checkpoint=checkpoint)
