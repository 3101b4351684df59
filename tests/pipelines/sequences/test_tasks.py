"""The examples of the tasks, and what is measured of answers."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.task import GeneratedTask

NAMES = ("unique_integers", "associative_recall")
ALL = pytest.mark.parametrize("name", NAMES)


def generated(name: str, **more: Any) -> GeneratedTask:
    task = task_of(SequenceOptions(task=name, hidden_size=6, **more), seed=3)  # type: ignore[arg-type]
    assert isinstance(task, GeneratedTask)
    return task


def examples(name: str, number: int = 400, longest: float = 1.0, **more: Any) -> Any:
    return generated(name, **more).make(np.random.default_rng(0), number, longest)


class Fixed(nn.Module):
    """Answers what it was given."""

    def __init__(self, answer: Any):
        super().__init__()
        self._answer = answer

    def forward(self, *inputs: Tensor) -> Any:
        return self._answer


def test_unique_integers_are_counted():
    batch = examples("unique_integers", max_length=8, max_value=4)
    assert batch["symbols"].shape == (400, 8)
    assert set(batch["lengths"].tolist()) == set(range(1, 9))
    assert set(batch["symbols"].flatten().tolist()) == set(range(5))
    for row, length, count in zip(*(batch[n].tolist() for n in batch), strict=True):
        assert count == len(set(row[:length]))


def test_what_follows_a_sequences_end_is_not_seen():
    task = generated("unique_integers")
    network, batch = task.make_network().eval(), examples("unique_integers", 20)
    changed = dict(batch)
    behind = torch.arange(26) >= batch["lengths"][:, None]
    changed["symbols"] = torch.where(behind, 10 - batch["symbols"], batch["symbols"])
    torch.testing.assert_close(task.losses(network, batch), task.losses(network, changed))


def test_wrong_counts_by_hand():
    task = generated("unique_integers")
    batch = {
        "symbols": torch.zeros(4, 3, dtype=torch.long),
        "lengths": torch.ones(4, dtype=torch.long),
        "counts": torch.tensor([1, 1, 2, 3]),
    }
    logits = torch.zeros(4, 12)
    logits[:, 1] = 5
    figures = task.figures(task.totals(Fixed(logits), batch))
    assert figures["error"] == 0.5


def test_recall_asks_for_the_item_behind_one_that_was_seen():
    batch = examples("associative_recall", 50, max_items=5, item_vectors=2, item_bits=4)
    for inputs, wanted in zip(batch["inputs"].numpy(), batch["wanted"].numpy(), strict=True):
        marks = np.flatnonzero(inputs[:, 4])
        first, last = np.flatnonzero(inputs[:, 5])
        items = [inputs[at + 1 : at + 3, :4] for at in marks]
        assert 2 <= len(items) <= 5
        asked = inputs[first + 1 : first + 3, :4]
        assert last == first + 3 and len(inputs) == last + 3
        assert not inputs[last + 1 :].any()
        followers = [
            after for item, after in itertools.pairwise(items) if np.array_equal(item, asked)
        ]
        assert any(np.array_equal(wanted, after) for after in followers)


def test_wrong_bits_by_hand():
    task = generated("associative_recall", item_vectors=2, item_bits=2)
    wanted = torch.tensor([[[1.0, 0], [1, 1]], [[0, 0], [1, 0]]])
    answer = (2 * wanted - 1) * 4
    answer[0, 0, 0] = -4
    answer[0, 1, 1] = -4
    out = torch.cat([torch.zeros(3, 2, 2), answer.transpose(0, 1)])
    batch = {"inputs": torch.zeros(2, 5, 4), "wanted": wanted}
    figures = task.figures(task.totals(Fixed((out, None)), batch))
    assert figures["bits"] == 1 and figures["error"] == 0.5


@ALL
def test_a_steps_examples_are_the_same_whenever_they_are_asked_for(name: str):
    one, other = generated(name, batch_size=8), generated(name, batch_size=8)
    first, again, next_one = one.training_batch(5), other.training_batch(5), one.training_batch(6)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(
        first[key].shape == next_one[key].shape and torch.equal(first[key], next_one[key])
        for key in first
    )


@ALL
def test_splits_differ_and_do_not_hang_on_the_seed(name: str):
    options = SequenceOptions(task=name, validation_examples=700, hidden_size=4)  # type: ignore[arg-type]
    one, other = task_of(options, 1), task_of(options, 2)
    key = "symbols" if name == "unique_integers" else "inputs"
    validation = [batch[key] for batch in one.batches("validation")]
    assert [len(v) for v in validation] == [500, 200]
    assert all(map(torch.equal, validation, [b[key] for b in other.batches("validation")]))
    assert not torch.equal(validation[0][:, :9], next(iter(one.batches("test")))[key][:, :9])


def test_a_curriculum_begins_with_short_ones():
    task = generated("unique_integers", curriculum=True, steps=100, max_length=20)
    longest = [int(task.training_batch(at)["lengths"].max()) for at in (0, 10, 24, 50, 99)]
    assert longest[0] == 1 and longest[1] <= 5 and longest[2] <= 10
    assert longest[3] > 15 and longest[4] > 15


@ALL
@pytest.mark.parametrize("activation", ["soft", "hard", "nan", "nah", "nani", "nanil", "nanis"])
def test_every_activation_trains(name: str, activation: str):
    task = generated(name, activation=activation, item_bits=3, max_length=6)
    network = task.make_network()
    losses = task.losses(network, task.make(np.random.default_rng(1), 5, 1.0))
    assert losses.shape == (5,)
    losses.mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cells_and_layers(cell: Any):
    task = generated("unique_integers", cell=cell, num_layers=2)
    assert task.losses(task.make_network(), examples("unique_integers", 3)).shape == (3,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(task="unique_integer"), 'task "unique_integer".*did you mean "unique_integers"'),
        (dict(activation="nam"), 'activation "nam".*did you mean "nan"'),
        (dict(noise_c=-1.0), "noise_c -1.0: must be at least 0"),
        (dict(noise_alpha=0.0), "noise_alpha 0.0: must be above 0"),
        (dict(anneal="0.5:30"), "anneal 0.5:30: rises"),
        (dict(anneal="30:0.5", anneal_updates=0), "anneal_updates 0: must be at least 1"),
        (dict(anneal_updates=5), "anneal_updates 5: of what"),
        (dict(anneal="30:0.5", noise_c=1.0), "noise_c 1.0 and anneal 30:0.5: give one"),
        (
            dict(anneal="30:0.5", activation="hard"),
            "anneal 30:0.5: activation hard has no noise; give a noisy one",
        ),
        (dict(noise_alpha=1.2, activation="soft"), "noise_alpha 1.2: activation soft has no noise"),
        (dict(max_length=0), "max_length 0: must be from 1 to 1"),
        (dict(max_length=20_000), "max_length 20000: must be from 1 to 1"),
        (
            dict(task="associative_recall", max_items=60),
            "max_items 60: of 3 vectors each they do not fit into a memory of 128",
        ),
        (dict(steps=0), "steps 0: must be at least 1"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        SequenceOptions(**options)


def test_a_task_brings_its_defaults_and_takes_others():
    given = SequenceOptions(task="associative_recall", steps=7)
    assert given.hidden_size is None
    options = task_of(given, 0).options
    assert (options.hidden_size, options.batch_size, options.steps) == (100, 16, 7)
