"""One trial of a sweep: a training in a process of Tune's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.sequences.config import SequenceOptions


def sweep_trial(options: SequenceOptions, *, seed: int = 0, data: Sequence[str] = ()) -> None:
    """Trains a network and reports every validation to Tune: "step", and its figures.

    Args:
        options: of the task and how it is learnt. All its workers are this process, on its GPU if
            it has one.
        seed: of weights, examples and noise.
        data: as `arcadia train sequence --data` takes it.
    """
    import torch
    from ray import tune

    from arcadia.crew import Crew
    from arcadia.runs import RunFolder
    from pipelines.sequences.job import KIND, TrainOptions, config_of, hash_of
    from pipelines.sequences.learner import Learner
    from pipelines.sequences.tasks import task_of
    from pipelines.sequences.train import Training

    folder = tune.get_context().get_trial_dir()
    assert folder is not None
    run = RunFolder.create(
        Path(folder, "sequence"),
        kind=KIND,
        config=config_of(TrainOptions(options=options, data=tuple(data)), hash_of(data)),
        seed=seed,
    )
    task = task_of(options, seed, data)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    Training(
        run,
        task,
        Learner(task, device=device, seed=seed),
        crew=Crew(),
        on_validation=lambda step, figures: tune.report({"step": step, **figures}),
    ).carry_on()
