"""One trial of a sweep: a training in a process of Tune's."""

from __future__ import annotations

import dataclasses

from pipelines.colorization.options import ColorizerOptions


def sweep_trial(data: str, options: ColorizerOptions, *, seed: int = 0) -> None:
    """Trains a colorizer and reports every validation to Tune: "step", and its figures, with a
    checkpoint, from which the trial goes on.

    Args:
        data: folder or address of prepared pictures; a part is kept aside.
        options: how it is trained. All its workers are this process, on its GPU if it has one.
        seed: of weights and order.
    """
    import cv2

    from arcadia.crew import Crew
    from arcadia.trials import TrialReport, trial_run
    from arcadia.workers import own_device
    from pipelines.colorization.data import shares
    from pipelines.colorization.job import KIND, TrainOptions, config_of
    from pipelines.colorization.learner import Learner
    from pipelines.colorization.order import num_streams_for
    from pipelines.colorization.train import Training
    from pipelines.places import PreparedData

    cv2.setNumThreads(1)
    prepared = PreparedData.open(data)
    training, validation = shares(prepared, None, options.validation_fraction, seed)
    options = dataclasses.replace(options, checkpoint_period=options.validation_period)
    config = config_of(TrainOptions(data=data, options=options), prepared.hash)
    run = trial_run(kind=KIND, config=config, seed=seed)
    Training(
        run,
        training,
        validation,
        options,
        Learner(len(prepared.classes), options, device=own_device(), seed=seed),
        crew=Crew(),
        seed=seed,
        num_streams=num_streams_for(options.batch_size, 1),
        on_validation=TrialReport(run),
    ).carry_on()
    run.set_status("completed")
