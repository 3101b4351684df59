"""One trial of a sweep: a training in a process of Tune's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipelines.sequences.config import SequenceOptions


def sweep_trial(options: SequenceOptions, *, seed: int = 0, data: Sequence[str] = ()) -> None:
    """Trains a network and reports every validation to Tune: "step", and its figures, with a
    checkpoint, from which the trial goes on.

    Args:
        options: of the task and how it is learnt. All its workers are this process, on its GPU if
            it has one.
        seed: of weights, examples and noise.
        data: as `arcadia train sequence --data` takes it.
    """
    from arcadia.crew import Crew
    from arcadia.trials import TrialReport, trial_run
    from arcadia.workers import own_device
    from pipelines.sequences.job import KIND, TrainOptions, config_of, hash_of
    from pipelines.sequences.learner import Learner
    from pipelines.sequences.tasks import task_of
    from pipelines.sequences.train import Training

    options = dataclasses.replace(options, checkpoint_period=options.validation_period)
    config = config_of(TrainOptions(options=options, data=tuple(data)), hash_of(data))
    run = trial_run(kind=KIND, config=config, seed=seed)
    task = task_of(options, seed, data)
    Training(
        run,
        task,
        Learner(task, device=own_device(), seed=seed),
        crew=Crew(),
        on_validation=TrialReport(run),
    ).carry_on()
    run.set_status("completed")
