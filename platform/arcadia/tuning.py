"""Files of sweeps: each gives a search space and a TuneConfig; see `sweep_run` for the rest."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from ray import tune
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig


@dataclass(kw_only=True)
class Space:
    """The search space of what is no algorithm of RLlib's."""

    trainable: Callable[..., None]
    """Carries out one trial and calls `tune.report` on the way; takes the parameters by their
    names."""
    parameters: dict[str, Any]
    """By name; may hold Tune's distributions. `--seed` sets "seed"."""
    resources: Mapping[str, float] | None = None
    """Of a trial, as Tune names them: cpu, gpu. None: a CPU, and a GPU where there are any when the
    sweep begins or goes on."""
    compared_by: tuple[str, ...] = ()
    """Parameters by which trials are compared: those alike in them, of several seeds, are put
    together in a table and a figure, with the standard error of their mean."""
    time: str = "training_iteration"
    """What the trials report that their curves go by."""

    def __post_init__(self) -> None:
        names = _names(self.trainable)
        for name in self.parameters:
            if names is not None and name not in names:
                near = did_you_mean(name, names) or f"; it takes {', '.join(names)}"
                raise UserError(
                    f'parameter "{name}": {self._trial()} takes none of that name{near}'
                )
        for name in self.compared_by:
            if name not in self.parameters:
                near = did_you_mean(name, self.parameters)
                raise UserError(f'compared_by "{name}": there is no such parameter{near}')
        try:
            inspect.signature(self.trainable).bind(**self.parameters)
        except TypeError as error:
            raise UserError(f"parameters: {self._trial()} has {error}") from None

    def _trial(self) -> str:
        return f"{getattr(self.trainable, '__name__', 'trainable')}()"


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


def is_searched(value: Any) -> bool:
    """Whether a sweep tries several values in the place of this one."""
    from ray.tune.search.sample import Domain

    return isinstance(value, Domain) or (isinstance(value, dict) and "grid_search" in value)


def _names(function: Callable[..., Any]) -> list[str] | None:
    """Of the parameters that a function takes by name; None: any."""
    found = inspect.signature(function).parameters.values()
    if any(p.kind == inspect.Parameter.VAR_KEYWORD for p in found):
        return None
    return [p.name for p in found if p.kind != inspect.Parameter.POSITIONAL_ONLY]
