"""Malformed input ends in one line that names it, at once, and leaves everything as it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from arcadia.cli import main
from tests.malformed.cases import SEED, Case, Tree
from tests.malformed.files import file_cases
from tests.malformed.material import make_material
from tests.malformed.options import option_cases
from tests.malformed.pictures import picture_cases
from tests.malformed.runs import run_cases

CASES = [*option_cases(), *file_cases(), *picture_cases(), *run_cases()]
_FAST = 400
_LIMIT_S = 20


class Hangs(BaseException):
    """Nothing of Arcadia's catches it."""


@pytest.fixture(scope="module")
def whole() -> Tree:
    return make_material()


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Ends a test that takes too long, where Python runs at all."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"goes on after {_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, end)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """All that is there, with sizes and times."""
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def test_there_are_two_hundred_cases_and_more_of_different_names():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 200


def marked() -> Iterator[Any]:
    """The cases; some, drawn from all of them, are for the fast tests, too."""
    fast = np.random.default_rng(SEED).permutation(len(CASES))[:_FAST]
    for number, case in enumerate(CASES):
        yield pytest.param(case, id=case.name, marks=() if number in fast else pytest.mark.slow)


@pytest.mark.parametrize("case", marked())
def test_it_is_told_in_one_line(
    case: Case,
    whole: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    case.put(tmp_path, whole)
    monkeypatch.chdir(tmp_path)
    # Nobody is there: what would start Ray to find out what is wrong says so.
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    before = snapshot(tmp_path)
    signal.alarm(_LIMIT_S)
    code = main(list(case.words))
    signal.alarm(0)
    error = capfd.readouterr().err
    assert code == 2, error
    assert len(error.splitlines()) == 1, error
    assert error.startswith("arcadia: ")
    assert "no Ray answers" not in error
    assert case.said in error
    assert snapshot(tmp_path) == before
