"""Values of JSON become fields, or are refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from arcadia.errors import UserError
from arcadia.typed import from_json


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: float = 1.0


@dataclass(frozen=True)
class Place:
    file: str
    row: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    number: int = 1
    rate: float | None = None
    name: str = "x"
    is_fast: bool = True
    kind: Literal["a", "b"] = "a"
    spans: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise UserError(f"number {self.number}: must be at least 0")


def test_what_was_written_comes_back_and_what_is_missing_has_its_default():
    options = Options(number=3, rate=2, spans=(), inner=Inner(width=0.5), kind="b")
    assert from_json(Options, json.loads(json.dumps(asdict(options)))) == options
    assert from_json(Options, {"rate": None}) == Options()


def test_what_has_no_default_must_be_there():
    assert from_json(Place, {"file": "x"}) == Place("x")
    with pytest.raises(UserError, match="places: has no file"):
        from_json(Place, {"row": 3}, "places")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"number": "3"}, "number '3': must be a whole number"),
        ({"number": 1.0}, r"number 1\.0: must be a whole number"),
        ({"number": True}, "number True: must be a whole number"),
        ({"number": None}, "number None: must be a whole number"),
        ({"number": -1}, "number -1: must be at least 0"),
        ({"rate": "fast"}, "rate 'fast': must be a number"),
        ({"rate": float("nan")}, "rate nan: must be a number"),
        ({"name": 5}, "name 5: must be words"),
        ({"is_fast": 1}, "is_fast 1: must be true or false"),
        ({"kind": "c"}, "kind 'c': must be one of a, b"),
        ({"kind": []}, r"kind \[\]: must be one of a, b"),
        ({"spans": 5}, "spans 5: must be a list"),
        ({"spans": [1, "2"]}, "spans '2': must be a whole number"),
        ({"inner": {"width": {}}}, r"width \{\}: must be a number"),
        ({"inner": 5}, "inner 5: must be values by their names"),
        ({"inner": {"wide": 1}}, "inner wide: this version does not know them"),
        ({"swirl": 1}, "options swirl: this version does not know them"),
        (["number"], r"options \['number'\]: must be values by their names"),
        ("x" * 999, r"options 'x{59}\.\.\.: must be"),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(values: Any, said: str):
    with pytest.raises(UserError, match=said):
        from_json(Options, values)
