"""Sweeps: a Python file gives the search space and the TuneConfig, Tune's Tuner does the rest."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.atomic import explained
from arcadia.comparison import compare
from arcadia.errors import UserError
from arcadia.runs import RunFolder, default_run_dir
from arcadia.storage import Storage

if TYPE_CHECKING:
    from ray import tune
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from arcadia.commands import TuneOptions


@dataclass(kw_only=True)
class Space:
    """The search space of what is no algorithm of RLlib's."""

    trainable: Callable[[dict[str, Any]], None]
    """Carries out one trial, with its parameters, and calls `tune.report` on the way."""
    parameters: dict[str, Any]
    """By name; may hold Tune's distributions. `--seed` sets "seed"."""
    resources: Mapping[str, float] = field(default_factory=lambda: {"cpu": 1})
    """Of a trial, as Tune names them: cpu, gpu."""
    compared_by: tuple[str, ...] = ()
    """Parameters by which trials are compared: those alike in them, of several seeds, are put
    together in a table and a figure, with the standard error of their mean."""
    time: str = "training_iteration"
    """What the trials report that their curves go by."""


def load_sweep(file: str) -> tuple[AlgorithmConfig | Space, tune.TuneConfig]:
    """Calls `sweep()` of a Python file.

    Args:
        file: path of the file.

    Returns:
        The search space, an AlgorithmConfig that may hold Tune's distributions (`tune.choice` and
        the like) in any of its attributes, or a `Space`; and the TuneConfig.

    Raises:
        UserError: no such file, no `sweep` in it, it fails, or it returns something else. A
            misspelt parameter fails here, before anything starts.
    """
    path = Path(file)
    if not path.is_file():
        there = ", ".join(sorted(str(p) for p in Path("tune_configs").glob("[!_]*.py")))
        hint = f"; there is {there}" if there else ""
        raise UserError(f"{file}: no such file{hint}")
    spec = importlib.util.spec_from_file_location(f"_sweep_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{file}: is no Python file; give one that defines sweep()")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "sweep"):
            raise UserError("defines no function sweep()")
        made = module.sweep()
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except SystemExit as error:
        raise UserError(f"{file}: ends the process ({error}) instead of returning") from error
    except Exception as error:
        raise UserError(f"{file}: sweep() failed with {type(error).__name__}: {error}") from error
    from ray import cloudpickle, tune
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    cloudpickle.register_pickle_by_value(module)  # trials cannot import the file by its name
    given = tuple(made) if isinstance(made, tuple | list) else (made,)
    match given:
        case (AlgorithmConfig() | Space() as space, tune.TuneConfig() as tune_config):
            return space, tune_config
    kinds = ", ".join(type(x).__name__ for x in given)
    raise UserError(
        f"{file}: sweep() returned {kinds or 'nothing'}; it must return an AlgorithmConfig "
        "or a Space, and a TuneConfig"
    )


def run_sweep(options: TuneOptions) -> dict[str, Any]:
    """Runs a sweep to its end and prints a table of its trials, the best first.

    Returns:
        `best` (its parameters, metric and checkpoint), `trials`, `failed`, `groups` (where trials
        are compared: parameters, `mean`, `standard_error`, `trials`) and the folder `run`.

    Raises:
        UserError: the file cannot be used, the folder holds a run or a sweep or cannot be written,
            or no trial came to a value of the metric.
    """
    space, tune_config = load_sweep(options.file)
    from ray import tune

    from arcadia.cluster import connect

    if options.num_samples is not None:
        tune_config.num_samples = options.num_samples
    if options.max_concurrent_trials is not None:
        tune_config.max_concurrent_trials = options.max_concurrent_trials
    if options.seed is not None:
        _seed(space, tune_config, options.seed)
    if tune_config.metric is None or tune_config.mode is None:
        raise UserError(f"{options.file}: its TuneConfig must name metric and mode")
    if options.run_dir is not None:
        _check_free(options.run_dir)
    connect(options.address)
    folder = _make_folder(options)
    storage, _, name = folder.rpartition("/")
    trainable: Any
    if isinstance(space, Space):
        trainable = tune.with_resources(space.trainable, dict(space.resources))
        searched: Any = space.parameters
    else:
        trainable, searched = space.algo_class, space  # a config is a param space too
    tuner = tune.Tuner(
        trainable,
        param_space=searched,
        tune_config=tune_config,
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage,
            verbose=1,
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1,
                # A function writes its checkpoints itself, or none.
                checkpoint_at_end=None if isinstance(space, Space) else True,  # type: ignore[arg-type]
            ),
        ),
    )
    try:
        results = tuner.fit()
    except tune.TuneError as error:
        said, metric = _last_line(error), tune_config.metric
        if metric in said:  # Tune looks for it in a trial's first result
            raise UserError(
                f'{options.file}: metric "{metric}": the trials report none of that name'
            ) from error
        raise RuntimeError(said) from error
    rows = _rows(results, tune_config.metric)
    if not rows:
        raise UserError(
            f"{folder}: all {results.num_errors} trials failed, the first with "
            f"{_last_line(results.errors[0])}; see its error.txt files"
        )
    _print_table(rows, tune_config.metric, tune_config.mode, results.num_errors)
    if all(value is None for _, value in rows):
        raise UserError(
            f"{options.file}: no trial came to a value of {tune_config.metric}; let them run longer"
        )
    best = results.get_best_result()
    groups = []
    if isinstance(space, Space) and space.compared_by:
        groups = compare(
            results, space.compared_by, tune_config.metric, tune_config.mode, space.time, folder
        )
    return {
        "run": folder,
        "trials": len(results),
        "failed": results.num_errors,
        "best": {
            "parameters": _parameters(best.config or {}, space),
            "metric": tune_config.metric,
            "value": _metric(best.metrics, tune_config.metric),
            "checkpoint": best.checkpoint.path if best.checkpoint else None,
        },
        "groups": groups,
    }


def _seed(space: AlgorithmConfig | Space, tune_config: tune.TuneConfig, seed: int) -> None:
    """Seeds the trials and, unless the file brings a search of its own, what is drawn for them."""
    from ray.tune.search.basic_variant import BasicVariantGenerator

    if isinstance(space, Space):
        space.parameters["seed"] = seed
    else:
        space.seed = seed
    if tune_config.search_alg is None:
        tune_config.search_alg = BasicVariantGenerator(
            random_state=seed, max_concurrent=tune_config.max_concurrent_trials or 0
        )
        tune_config.max_concurrent_trials = None  # Tune takes one of the two


def _check_free(run_dir: str) -> None:
    run = RunFolder.check_free(run_dir)
    if run.exists("tuner.pkl"):
        raise UserError(f"{run.storage.shown()}: already holds a sweep; choose another --run-dir")


def _make_folder(options: TuneOptions) -> str:
    """Where the sweep goes: an absolute path that is there now, or an address."""
    storage = Storage.at(options.run_dir or default_run_dir(f"tune-{Path(options.file).stem}"))
    if storage.is_local:
        with explained("write", storage.local_path):
            storage.local_path.mkdir(parents=True, exist_ok=True)
    return storage.uri.rstrip("/")


def _last_line(error: BaseException) -> str:
    """What went wrong, of a text that holds whole tracebacks of other processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _rows(results: Any, metric: str) -> list[tuple[Any, float | None]]:
    return [(r, _metric(r.metrics, metric)) for r in results if not r.error]


def _print_table(
    rows: list[tuple[Any, float | None]], metric: str, mode: str, num_errors: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    sign = 1 if mode == "min" else -1
    rows = sorted(rows, key=lambda row: (row[1] is None, sign * (row[1] or 0.0)))
    table = Table(title=f"{len(rows)} trials, {num_errors} failed")
    table.add_column("parameters")
    table.add_column(metric.rpartition("/")[2], justify="right")
    for result, value in rows:
        parameters = ", ".join(f"{k}={v}" for k, v in _searched(result).items())
        table.add_row(parameters or "-", "-" if value is None else f"{value:.4g}")
    Console().print(table)


def _searched(result: Any) -> dict[str, Any]:
    """The parameters that this trial drew, as Tune names its folder's parameters."""
    tag = (result.metrics or {}).get("experiment_tag", "")
    pairs = (pair.partition("=") for pair in tag.partition("_")[2].split(","))
    return {name: value for name, equals, value in pairs if equals}


def _parameters(config: dict[str, Any], space: AlgorithmConfig | Space) -> dict[str, Any]:
    """Of a trial's whole config, what the sweep searched over."""
    from ray.tune.search.sample import Domain

    def is_searched(value: Any) -> bool:
        return isinstance(value, Domain) or (isinstance(value, dict) and "grid_search" in value)

    values = space.parameters if isinstance(space, Space) else vars(space)
    return {k: config.get(k) for k, v in values.items() if is_searched(v)}


def _metric(metrics: dict[str, Any] | None, name: str) -> float | None:
    """A number of a nested result; None when there is none, or no game ended that it tells of."""
    value: Any = metrics or {}
    for part in name.split("/"):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return float(value) if math.isfinite(value) else None
