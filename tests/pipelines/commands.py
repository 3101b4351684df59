"""Commands of Arcadia's in the tests' own process."""

import json
from typing import Any, NamedTuple

import pytest

from arcadia.cli import main


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    error: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line's JSON."""
        return json.loads(self.out.splitlines()[-1], parse_constant=pytest.fail)


def call_with(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """Runs a command with `--json`; what was written before it is forgotten."""
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    return Done(code, *capsys.readouterr())
