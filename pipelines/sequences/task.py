"""What a task is to the training: examples, a network, and what is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.sequences.config import SequenceOptions

Split = Literal["validation", "test"]
Batch = Mapping[str, Tensor]
"""Tensors by name, whose first axis is the examples'."""


class Task(ABC):
    """A task with its examples.

    Args:
        options: which, and how large.
        seed: of its examples; those of a split are the same for every seed.

    Attributes:
        metrics: names of what `figures` gives; the first is what networks are judged by, and best
            where it is least.
    """

    metrics: ClassVar[tuple[str, ...]]

    def __init__(self, options: SequenceOptions, seed: int):
        self.options, self.seed = options, seed

    @abstractmethod
    def make_network(self) -> nn.Module:
        """A new network for the task."""

    @abstractmethod
    def training_batch(self, step: int) -> Batch:
        """The examples of a step, all workers' together; the same whenever it is asked for."""

    @abstractmethod
    def batches(self, split: Split) -> Iterator[Batch]:
        """Examples kept aside."""

    @abstractmethod
    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """(B,), one for each example, in nats."""

    @abstractmethod
    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Sums over the examples that `figures` makes figures of: (K,) float64."""

    @abstractmethod
    def figures(self, totals: Tensor) -> dict[str, float]:
        """Of summed totals, by the names in `metrics`."""


class GeneratedTask(Task):
    """A task whose examples are made as they are needed."""

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
