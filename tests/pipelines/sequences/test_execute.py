"""Programs, what they print, and how both are shown to the network."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.programs import make_program
from pipelines.sequences.task import GeneratedTask
from pipelines.sequences.tasks.execute import _CHARACTERS


def execute(**more: Any) -> GeneratedTask:
    values: dict[str, Any] = dict(task="execute", hidden_size=12) | more
    task = task_of(SequenceOptions(**values), 1)
    assert isinstance(task, GeneratedTask)
    return task


def printed(source: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(source, {})  # made by this project, of digits and its own words
    return said.getvalue().strip()


@pytest.mark.parametrize(("length", "nesting"), [(1, 1), (2, 3), (4, 2), (6, 6)])
def test_python_prints_what_is_said(length: int, nesting: int):
    rng = np.random.default_rng(length)
    sources = set()
    for _ in range(200):
        program = make_program(rng, length, nesting)
        assert printed(program.source) == str(program.result)
        sources.add(program.source)
    assert len(sources) > 100


def test_all_operations_come_up():
    rng = np.random.default_rng(0)
    text = "\n".join(make_program(rng, 2, 3).source for _ in range(200))
    for word in ("+", "-", "*", " if ", "for x in range(", "="):
        assert word in text


def decoded(row: Tensor) -> str:
    return "".join(_CHARACTERS[n] for n in row.tolist() if n > 0)


def test_a_batch_holds_programs_and_what_they_print():
    batch = execute(program_length=2, nesting=2).make(np.random.default_rng(0), 40, 1.0)
    for symbols, wanted in zip(batch["symbols"], batch["wanted"], strict=True):
        source, _, shown = decoded(symbols).partition("@")
        answer = decoded(wanted)
        assert answer == printed(source) + "." and shown == answer[:-1]
        # The first character is wanted where the program ends.
        first = int((wanted >= 0).nonzero()[0])
        assert _CHARACTERS[int(symbols[first])] == "@"


class Knowing(nn.Module):
    """Answers rightly, but for the last character."""

    def __init__(self, wanted: Tensor):
        super().__init__()
        self._wanted = wanted

    def forward(self, symbols: Tensor, carry: None) -> tuple[Tensor, tuple[()]]:
        logits = torch.zeros(*symbols.shape, len(_CHARACTERS))
        logits.scatter_(2, self._wanted.clamp_min(0).unsqueeze(2), 5.0)
        logits[:, -1] = 0
        logits[:, -1, 0] = 5.0
        return logits, ()


def test_wrong_characters_by_hand():
    task = execute()
    batch = task.make(np.random.default_rng(0), 10, 1.0)
    figures = task.figures(task.totals(Knowing(batch["wanted"]), batch))
    assert figures["wrong"] == 1
    assert figures["error"] == pytest.approx(10 / int((batch["wanted"] >= 0).sum()))


def test_a_curriculum_begins_with_short_programs():
    task = execute(curriculum=True, steps=100, program_length=6, nesting=4)
    lengths = [task.training_batch(at)["symbols"].shape[1] for at in (0, 99)]
    assert lengths[0] < lengths[1] / 2


def test_it_trains():
    task = execute(activation="nah")
    network = task.make_network()
    losses = task.losses(network, task.training_batch(0))
    assert losses.shape == (64,)
    losses.mean().backward()
    assert all(p.grad is not None for p in network.parameters())
