"""Weight of the classes, width and optimiser of the colorizer.

ARCADIA_PLACES=places/ arcadia tune tune_configs/colorizer.py
"""

import os

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from algorithms.noisy.config import ActivationName
from arcadia.errors import UserError
from arcadia.tuning import Space
from pipelines.colorization import ColorizerOptions, NetworkOptions, sweep_trial
from pipelines.colorization.options import OptimiserName

METRIC = "ab_mse"
_STEPS = 20_000


def trial(
    *,
    alpha: float,
    width: float,
    optimizer: OptimiserName,
    activation: ActivationName,
    image_size: int,
    data: str,
    seed: int,
) -> None:
    """Trains one; its validations are what Tune sees."""
    options = ColorizerOptions(
        network=NetworkOptions(width=width, image_size=image_size, activation=activation),
        alpha=alpha,
        optimizer=optimizer,
        batch_size=64,
        steps=_STEPS,
        validation_period=_STEPS // 40,
    )
    sweep_trial(data, options, seed=seed)


def sweep() -> tuple[Space, tune.TuneConfig]:
    """Twelve trials; ASHA ends those that lag behind."""
    if "ARCADIA_PLACES" not in os.environ:
        raise UserError("set ARCADIA_PLACES to the folder that arcadia places prepare made")
    space = Space(
        trainable=trial,
        parameters={
            "alpha": tune.loguniform(1e-4, 1e-1),
            "width": tune.choice([0.25, 0.5]),
            "optimizer": tune.choice(["adadelta", "adam"]),
            "activation": "relu",  # tune.choice(["relu", "noisy_hard_tanh"]) compares noisy ones
            "image_size": 224,
            "data": os.path.abspath(os.environ["ARCADIA_PLACES"]),
            "seed": 0,
        },
    )
    scheduler = ASHAScheduler(time_attr="step", grace_period=_STEPS // 8, max_t=_STEPS)
    return space, tune.TuneConfig(
        metric=METRIC, mode="min", num_samples=12, max_concurrent_trials=2, scheduler=scheduler
    )
