"""A sweep of small trainings, two trials at once."""

from __future__ import annotations

from pathlib import Path

from arcadia.runs import RunFolder
from benchmarks.chaos.counters import Kept, beyond_checkpoints, falling, read_attempts, rewinds
from benchmarks.chaos.kind import Ended, Kind, last_checkpoint

_TRIALS, _AT_ONCE = 4, 2
_STEPS_PER_S = 75  # of a trial, beside another one
_REPORTS = 50  # of each trial
_SWEEP = """\
import dataclasses

from ray import tune

import tune_configs.noisy_sequences as whole
from pipelines.sequences import SequenceOptions, sweep_trial


def trial(*, variant, repeat, steps, period, seed):
    options = SequenceOptions(
        activation=variant, steps=steps, validation_period=period, validation_examples=200
    )
    sweep_trial(options, seed=seed + repeat)


def sweep():
    space, tune_config = whole.sweep()
    parameters = {{
        "variant": tune.grid_search(["hard", "nan"]),
        "repeat": tune.grid_search([0, 1]),
        "steps": {steps},
        "period": {period},
        "seed": 1,
    }}
    return dataclasses.replace(space, trainable=trial, parameters=parameters), tune_config
"""


class Tune(Kind):
    """Trials that are killed come back from what Tune knows of them, as the whole sweep does."""

    name = "tune"
    unit = "steps"

    def prepare(self) -> None:
        period = max(round(self.seconds * _STEPS_PER_S * _AT_ONCE / _TRIALS / _REPORTS), 5)
        self._steps, self._period = period * _REPORTS, period
        text = _SWEEP.format(steps=self._steps, period=period)
        (self.folder / "sweep.py").write_text(text)

    def words(self) -> list[str]:
        words = ["tune", "sweep.py", "--run-dir", "run", "--max-failures", "100"]
        return [*words, "--max-concurrent-trials", str(_AT_ONCE), "--json"]

    def again(self, *, to_the_end: bool) -> list[str]:
        return ["tune", "--resume", "run", "--json"]

    def done(self) -> int:
        return sum(last_checkpoint(run) for run in self._runs())

    def missing(self, ended: Ended) -> list[str]:
        result, found = ended.result, []
        if (result["trials"], result["failed"], result["status"]) != (_TRIALS, 0, "completed"):
            found.append(
                f"{result['trials']} trials, {result['failed']} of them failed; the sweep is "
                f"{result['status']}"
            )
        for run in self._runs():
            step = last_checkpoint(run)
            if step != self._steps or RunFolder.open(run).status != "completed":
                found.append(f"{run.parent.name}: {step:,} of {self._steps:,} steps were made")
            found += falling(read_attempts(RunFolder.open(run)), "faults/")
        return found + self._too_far(ended)

    def rewound(self, ended: Ended) -> str:
        again = [
            rewind.steps
            for run in self._runs()
            for rewind in rewinds(read_attempts(RunFolder.open(run)))
        ]
        return f"{sum(again):,} steps"

    def finished(self) -> dict[str, int]:
        """The step of each trial's last checkpoint."""
        return {run.parent.name: last_checkpoint(run) for run in self._runs()}

    def _too_far(self, ended: Ended) -> list[str]:
        """Trials that went on from before the last checkpoint that Tune was told of: that is the
        last one, or the one before, which it has until it has the next."""
        found = []
        for run in self._runs():
            name = run.parent.name
            kept = [
                Kept(blow.at, blow.finished.get(name, 0) - self._period) for blow in ended.blows
            ]
            attempts = read_attempts(RunFolder.open(run))
            found += [f"{name}: {line}" for line in beyond_checkpoints(attempts, kept)]
        return found

    def _runs(self) -> list[Path]:
        """The folders of the trials' runs, in their order."""
        return sorted(path.parent for path in self.run.glob("trial_*/run/run.json"))
