"""Variants of noisy activations on counting unique integers, five seeds each.

arcadia tune tune_configs/noisy_sequences.py
"""

from typing import cast

from ray import tune

from arcadia.tuning import Space
from pipelines.sequences import SequenceOptions, sweep_trial
from pipelines.sequences.config import Activation, TaskName

METRIC = "error"
_STEPS = 20_000
# What is compared: the activation, and how its noise falls.
_ANNEALED = "30:0.5"
_VARIANTS = (
    ("hard", None),
    ("nan", None),
    ("nah", None),
    ("nanil", None),
    ("nan", _ANNEALED),
    ("nah", _ANNEALED),
    ("nanil", _ANNEALED),
)


def trial(*, variant: str, repeat: int, task: TaskName, steps: int, seed: int) -> None:
    """Trains one; its validations are what Tune sees."""
    activation, _, anneal = variant.partition(" ")
    options = SequenceOptions(
        task=task,
        activation=cast(Activation, activation),
        anneal=anneal or None,
        steps=steps,
        validation_period=max(steps // 20, 1),
    )
    sweep_trial(options, seed=seed + repeat)


def sweep() -> tuple[Space, tune.TuneConfig]:
    """Seven variants with five seeds each, all to their end: means are compared."""
    space = Space(
        trainable=trial,
        parameters={
            "variant": tune.grid_search([" ".join(filter(None, pair)) for pair in _VARIANTS]),
            "repeat": tune.grid_search(list(range(5))),
            "task": "unique_integers",
            "steps": _STEPS,
            "seed": 0,
        },
        compared_by=("variant",),
        time="step",
    )
    return space, tune.TuneConfig(metric=METRIC, mode="min", num_samples=1)
