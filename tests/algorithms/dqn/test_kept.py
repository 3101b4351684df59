"""What of a run's evaluations is kept, and which is the best."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from algorithms.dqn.kept import Evaluations
from arcadia.runs import RunFolder


def add(evaluations: Evaluations, step: int, score: float) -> bool:
    names = ("return_mean", "return_min", "return_max", "len_mean")
    scores = {f"episode_{name}": score for name in names}
    result = {"evaluated": True, "evaluation": {"env_runners": scores}}
    return evaluations.add(result, cast(Any, SimpleNamespace(num_env_steps=step)))


def test_the_best_is_the_latest_of_equals(tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", kind="dqn", config={}, seed=0, command=["x"])
    evaluations = Evaluations(run)
    assert not evaluations.add({"evaluated": False}, cast(Any, None))
    assert [add(evaluations, step, score) for step, score in ((1, 0), (2, 0), (3, -1))] == [
        True,
        True,
        False,
    ]
    assert evaluations.best == 0
    again = Evaluations(run)  # of a run that goes on from its first checkpoint
    assert [e["step"] for e in again.list] == [1, 2, 3]
    assert not add(again, 2, -2)
    assert [e["return_mean"] for e in again.list] == [0, -2, -1]
