"""`arcadia tune`: a sweep from its first checks to its report, or from where it stopped."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from arcadia.atomic import explained, held_alone
from arcadia.comparison import compare
from arcadia.errors import UserError
from arcadia.jsonable import jsonable_or_text
from arcadia.runs import RunFolder, default_run_dir
from arcadia.storage import Storage, folder_and_name
from arcadia.sweep_results import (
    best_checkpoint,
    end_runs,
    last_line,
    metric_of,
    print_trials,
    trial_results,
)
from arcadia.sweep_trials import SWEEP
from arcadia.tuning import Space, is_searched, load_sweep

if TYPE_CHECKING:
    from ray import tune
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from arcadia.commands import TuneOptions

_FILE = "sweep.py"
_ENV_STEPS = "num_env_steps_sampled_lifetime"


def run_sweep(options: TuneOptions, words: list[str]) -> dict[str, Any]:
    """Runs a sweep to its end, or goes on with one, and prints a table of its trials.

    Args:
        options: the command's.
        words: that started it, for the record.

    Returns:
        `best` (its parameters, metric and checkpoint), `trials`, `failed`, `groups` (where trials
        are compared: parameters, `mean`, `standard_error`, `trials`), `status`, `index`, where its
        page is, and the folder `run`.

    Raises:
        UserError: the file cannot be used, the folder holds a run or cannot be written, or no trial
            came to a value of the metric.
    """
    # Trials that report every second write the sweep's state as often: so be it.
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    sweep = _Sweep(options)
    with contextlib.ExitStack() as stack:
        run, tuner = sweep.resumed(stack) if options.resume else sweep.begun(stack, words)
        return sweep.carry_out(run, tuner)


class _Sweep:
    """A sweep under way."""

    def __init__(self, options: TuneOptions):
        self._options = options

    def begun(self, stack: contextlib.ExitStack, words: list[str]) -> tuple[RunFolder, tune.Tuner]:
        """A new one, in a new run."""
        options = self._options
        assert options.file is not None
        self._load(options.file, options.file)
        from ray import tune

        from arcadia.cluster import connect
        from arcadia.sweep_callbacks import callbacks

        tune_config = self._tune_config
        if options.num_samples is not None:
            tune_config.num_samples = options.num_samples
        if options.max_concurrent_trials is not None:
            tune_config.max_concurrent_trials = options.max_concurrent_trials
        if options.seed is not None:
            _seed(self._space, tune_config, options.seed)
        listeners = callbacks(time=self._time, wandb=options.wandb, mlflow=options.mlflow)
        if options.run_dir is not None:
            RunFolder.check_free(options.run_dir)
            if not folder_and_name(_absolute(options.run_dir))[1]:
                raise UserError(
                    f"run_dir {options.run_dir}: a sweep takes a folder of its own; give one in it"
                )
        connect(options.address)
        run = RunFolder.create(
            _absolute(options.run_dir or default_run_dir(f"tune-{Path(options.file).stem}")),
            kind=SWEEP,
            config={
                "file": options.file,
                "metric": tune_config.metric,
                "mode": tune_config.mode,
                "time": self._time,
                **_kept(options),
            },
            seed=options.seed,
            command=words,
        )
        self._hold(run, stack)
        run.write_bytes(_FILE, Path(options.file).read_bytes())
        storage, name = folder_and_name(run.uri)
        is_space = isinstance(self._space, Space)
        searched: Any = self._space.parameters if isinstance(self._space, Space) else self._space
        tuner = tune.Tuner(
            self._trainable(),
            param_space=searched,  # a config is a param space too
            tune_config=tune_config,
            run_config=tune.RunConfig(
                name=name,
                storage_path=storage,
                verbose=1,
                callbacks=listeners,
                failure_config=tune.FailureConfig(max_failures=options.max_failures),
                checkpoint_config=tune.CheckpointConfig(
                    num_to_keep=_kept_checkpoints(tune_config.scheduler),
                    # A function writes its checkpoints itself.
                    checkpoint_frequency=0 if is_space else options.checkpoint_period,
                    checkpoint_at_end=None if is_space else True,  # type: ignore[arg-type]
                ),
            ),
        )
        return run, tuner

    def resumed(self, stack: contextlib.ExitStack) -> tuple[RunFolder, tune.Tuner]:
        """One that stopped; trials that failed are tried again."""
        options = self._options
        assert options.resume is not None
        run = RunFolder.open(_absolute(options.resume))
        if run.kind != SWEEP:
            raise UserError(
                f'{run.storage.shown()}: is a run of the kind "{run.kind}", no sweep; go on with '
                "it by arcadia train"
            )
        if not run.exists("tuner.pkl"):
            raise UserError(
                f"{run.storage.shown()}: was stopped before its first trial; begin anew"
            )
        with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
            file = Path(folder, Path(run.config["file"]).name)
            file.write_bytes(run.read_bytes(_FILE))
            self._load(str(file), run.storage.shown(_FILE))
        from ray import tune

        from arcadia.cluster import connect

        connect(options.address)
        from arcadia.sweep_record import is_cut_off, restore_record

        self._hold(run, stack)
        if is_cut_off(run) and not restore_record(run):
            raise _cut_off(run)
        try:
            tuner = tune.Tuner.restore(run.uri, trainable=self._trainable(), resume_errored=True)
        except (EOFError, UnpicklingError) as error:
            raise _cut_off(run) from error
        run.set_status("running")
        return run, tuner

    def carry_out(self, run: RunFolder, tuner: tune.Tuner) -> dict[str, Any]:
        """Runs what is left of it; see `run_sweep`."""
        from ray import tune

        from arcadia.report_folder import build_index
        from arcadia.sweep_callbacks import Stopping
        from arcadia.sweep_record import KeepRecord

        KeepRecord.run = run
        print(f"Run: {run.storage.shown()}", flush=True)
        metric, mode = self._tune_config.metric, self._tune_config.mode
        assert metric is not None and mode is not None
        try:
            with explained("write", run.storage.shown()):  # Tune keeps its own state there, too
                results = tuner.fit()
        except tune.TuneError as error:
            said = last_line(error)
            if metric in said:  # Tune looks for it in a trial's first result
                raise UserError(
                    f'{self._shown}: metric "{metric}": the trials report none of that name'
                ) from error
            raise RuntimeError(said) from error
        except (EOFError, UnpicklingError) as error:
            raise _cut_off(run) from error
        trials = trial_results(results, metric, mode)
        if not Stopping.requested:
            end_runs(results)
        all_failed = all(trial.error for trial in trials)
        came_to_nothing = all_failed or all(trial.value is None for trial in trials)
        run.set_status(
            "stopped" if Stopping.requested else "failed" if came_to_nothing else "completed"
        )
        found: dict[str, Any] = {
            "run": run.uri,
            "status": run.status,
            "trials": len(results),
            "failed": results.num_errors,
        }
        print_trials(trials, metric)
        if Stopping.requested:
            print(f"Stopped; arcadia tune --resume {run.storage.shown()} goes on")
        elif all_failed:
            raise UserError(
                f"{run.storage.shown()}: all {results.num_errors} trials failed, the first with "
                f"{trials[0].error}; see its error.txt files"
            )
        elif came_to_nothing:
            raise UserError(
                f"{self._shown}: no trial came to a value of {metric}; let them run longer"
            )
        if not came_to_nothing:
            found["best"] = self._best(results, metric)
            found["groups"] = self._groups(results, metric, mode, run)
        found["index"] = build_index(run.storage).index
        print(f"Index: {found['index']}")
        return found

    def _load(self, file: str, shown: str) -> None:
        self._shown = shown
        self._space, self._tune_config = load_sweep(file)
        if self._tune_config.metric is None or self._tune_config.mode is None:
            raise UserError(f"{shown}: its TuneConfig must name metric and mode")

    @property
    def _time(self) -> str:
        return self._space.time if isinstance(self._space, Space) else _ENV_STEPS

    def _trainable(self) -> Any:
        import ray
        from ray import tune

        space = self._space
        if not isinstance(space, Space):
            return space.algo_class
        carry_out = space.trainable

        def trial(parameters: dict[str, Any]) -> None:  # trials' folders are called after it
            carry_out(**parameters)

        resources = space.resources
        if resources is None:
            resources = {"cpu": 1, "gpu": min(ray.cluster_resources().get("GPU", 0), 1)}
        return tune.with_resources(trial, dict(resources))

    def _hold(self, run: RunFolder, stack: contextlib.ExitStack) -> None:
        if run.storage.is_local:
            stack.enter_context(held_alone(run.path))
        stack.enter_context(run.noting_failure())

    def _best(self, results: Any, metric: str) -> dict[str, Any]:
        best = results.get_best_result()
        checkpoint = best_checkpoint(best)
        if checkpoint is not None:
            print(f"Best: {checkpoint}")
        return {
            "parameters": _parameters(best.config or {}, self._space),
            "metric": metric,
            "value": metric_of(best.metrics, metric),
            "checkpoint": checkpoint,
        }

    def _groups(self, results: Any, metric: str, mode: str, run: RunFolder) -> list[dict[str, Any]]:
        space = self._space
        if not isinstance(space, Space) or not space.compared_by:
            return []
        return compare(results, space.compared_by, metric, mode, space.time, run.uri)


def _seed(space: AlgorithmConfig | Space, tune_config: tune.TuneConfig, seed: int) -> None:
    """Seeds the trials and, unless the file brings a search of its own, what is drawn for them."""
    from ray.tune.search.basic_variant import BasicVariantGenerator

    if isinstance(space, Space):
        if "seed" not in space.parameters:
            raise UserError(f'seed {seed}: the file\'s parameters have no "seed"; leave it out')
        space.parameters["seed"] = seed
    else:
        space.seed = seed
    if tune_config.search_alg is None:
        tune_config.search_alg = BasicVariantGenerator(
            random_state=seed, max_concurrent=tune_config.max_concurrent_trials or 0
        )
        tune_config.max_concurrent_trials = None  # Tune takes one of the two


def _cut_off(run: RunFolder) -> UserError:
    return UserError(
        f"{run.storage.shown()}: Tune's own record of the sweep is cut off, as by a full disk; the "
        "runs of its trials are kept: make room, and begin anew with another --run-dir"
    )


def _kept_checkpoints(scheduler: Any) -> int:
    """Of each trial. Others take checkpoints over in population based training, a while after they
    were made."""
    from ray.tune.schedulers import PopulationBasedTraining

    return 5 if isinstance(scheduler, PopulationBasedTraining) else 1


def _absolute(place: str | Path) -> str:
    """Where a sweep is: an absolute path, or an address, as Tune wants them."""
    storage = Storage.at(place)
    if storage.is_local:
        with explained("write", storage.local_path):
            return str(storage.local_path.resolve())
    parts = urlsplit(storage.uri)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def _kept(options: TuneOptions) -> dict[str, Any]:
    """The command's options that decide what a sweep does, for its record."""
    names = ("num_samples", "max_concurrent_trials", "checkpoint_period", "max_failures")
    return {name: getattr(options, name) for name in names}


def _parameters(config: dict[str, Any], space: AlgorithmConfig | Space) -> dict[str, Any]:
    """Of a trial's whole config, what the sweep searched over."""
    values = space.parameters if isinstance(space, Space) else vars(space)
    return {k: jsonable_or_text(config.get(k)) for k, v in values.items() if is_searched(v)}
