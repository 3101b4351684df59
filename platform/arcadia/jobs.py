"""Which module knows the runs of a kind; loaded by name, because it stands above this package."""

from __future__ import annotations

import importlib
from types import ModuleType

from arcadia.errors import UserError, did_you_mean
from arcadia.runs import RunFolder

JOBS = {
    "dqn": "algorithms.dqn.job",
    "dqn-seeds": "algorithms.dqn.seeds",
    "hdqn": "algorithms.hdqn.job",
    "hdqn-seeds": "algorithms.dqn.seeds",
    "hdqn-chain": "algorithms.hdqn.chain",
    "stylize": "pipelines.stylization.job",
    "colorizer": "pipelines.colorization.job",
    "colorize": "pipelines.colorization.coloring.job",
    "sequence": "pipelines.sequences.job",
}
"""By a run's kind: the module with `evaluate(runs, options)`, `watch(run, options)`,
`export(run, options)`, `report(run)`, `headline(run)`; of one seed's run, `options(run)`; and,
where evaluation has options of its own, their class `EvaluateOptions`."""


def job_of(run: RunFolder) -> ModuleType:
    """The module that knows a run.

    Raises:
        UserError: for a kind of run that this version does not know.
    """
    if run.kind == "tune":
        raise UserError(
            f"{run.storage.shown()}: is a sweep; name the run of one of its trials, or look at all "
            f"by arcadia report {run.storage.shown()}"
        )
    if run.kind not in JOBS:
        near = did_you_mean(run.kind, JOBS) or f"; this version knows {', '.join(JOBS)}"
        raise UserError(f'{run.storage.shown()}: a run of the kind "{run.kind}"{near}')
    return importlib.import_module(JOBS[run.kind])
