"""What a task is to the training: examples, a network, and what is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.sequences.config import SequenceOptions

Split = Literal["validation", "test"]
Batch = Mapping[str, Tensor]
"""Tensors by name, whose first axis is the examples'."""
Carry = tuple[Tensor, ...]
"""What a network remembers from one step's examples to the next's, which go on with them: tensors
whose first axis is the examples'."""


class Task(ABC):
    """A task with its examples.

    Either `losses` and `totals` are defined, or, where examples go on with those of the step
    before, `losses_from` and `totals_from`.

    Args:
        options: which, and how large; `SequenceOptions.resolved`.
        seed: of its examples; those of a split are the same for every seed.
        data: paths of what it learns from, as many as it needs.

    Attributes:
        metrics: names of what `figures` gives; the first is what networks are judged by, and best
            where it is least.

    Raises:
        UserError: the data cannot be used.
    """

    metrics: ClassVar[tuple[str, ...]]

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        self.options, self.seed, self._data = options, seed, tuple(data)

    def describe(self) -> str:
        """What there is to learn from, for people; empty: nothing to say."""
        return ""

    @abstractmethod
    def make_network(self) -> nn.Module:
        """A new network for the task."""

    @abstractmethod
    def training_batch(self, step: int) -> Batch:
        """The examples of a step, all workers' together; the same whenever it is asked for."""

    @abstractmethod
    def batches(self, split: Split) -> Iterator[Batch]:
        """Examples kept aside."""

    def begins_anew(self, step: int) -> bool:
        """Whether a step's examples do not go on with those before."""
        return True

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """(B,), one for each example, in nats."""
        return self.losses_from(network, batch, None)[0]

    def losses_from(
        self, network: nn.Module, batch: Batch, carry: Carry | None
    ) -> tuple[Tensor, Carry]:
        """As `losses`, and what is remembered, of examples that go on."""
        return self.losses(network, batch), ()

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Sums over the examples that `figures` makes figures of: (K,) float64."""
        return self.totals_from(network, batch, None)[0]

    def totals_from(
        self, network: nn.Module, batch: Batch, carry: Carry | None
    ) -> tuple[Tensor, Carry]:
        """As `totals`, and what is remembered, of examples that go on."""
        return self.totals(network, batch), ()

    @abstractmethod
    def figures(self, totals: Tensor) -> dict[str, float]:
        """Of summed totals, by the names in `metrics`."""

    def _only_file(self, what: str) -> str:
        """The one path that the task needs."""
        if len(self._data) != 1:
            raise UserError(
                f"data {' '.join(self._data) or 'None'}: {self.options.task} needs {what}; give "
                "--data with it"
            )
        return self._data[0]


class GeneratedTask(Task):
    """A task whose examples are made as they are needed."""

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        super().__init__(options, seed, data)
        if data:
            raise UserError(
                f"data {' '.join(data)}: {options.task} makes its own; leave --data out"
            )

    @abstractmethod
    def make(self, rng: np.random.Generator, number: int, longest: float) -> Batch:
        """So many examples.

        Args:
            rng: that they come from.
            number: of examples.
            longest: share of the greatest length, above 0, to 1, that they may have.
        """

    def training_batch(self, step: int) -> Batch:
        """See `Task`."""
        options = self.options
        assert options.batch_size is not None and options.steps is not None
        longest = 1.0
        if options.curriculum:
            longest = min((step + 1) / max(options.steps / 2, 1), 1.0)
        return self.make(np.random.default_rng((self.seed, 0, step)), options.batch_size, longest)

    def batches(self, split: Split) -> Iterator[Batch]:
        """See `Task`."""
        rng = np.random.default_rng((0, 1 if split == "validation" else 2))
        left = self.options.validation_examples
        while left > 0:
            yield self.make(rng, min(left, 500), 1.0)
            left -= 500


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch where the network is."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def summed_totals(task: Task, network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    """The totals of examples, which go on with each other, added up: (K,) float64."""
    found, carry = [], None
    for batch in batches:
        totals, carry = task.totals_from(network, batch, carry or None)
        found.append(totals)
    return torch.stack(found).sum(dim=0)
