"""Counting the different integers in a random sequence (Gulcehre et al. 2016, section 5.4)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.sequences.networks import SequenceClassifier
from pipelines.sequences.task import Batch, GeneratedTask


class UniqueIntegers(GeneratedTask):
    """Sequences of 1 to `max_length` integers from 0 to `max_value`, all lengths alike; the answer
    is how many different ones there are."""

    metrics = ("error", "loss")

    def make_network(self) -> nn.Module:
        """A class for each count that there may be."""
        counts = min(self.options.max_length, self.options.max_value + 1)
        return SequenceClassifier(self.options, self.options.max_value + 1, counts + 1)

    def make(self, rng: np.random.Generator, number: int, longest: float) -> Batch:
        """`symbols` int64 (B, T), `lengths` int64 (B,) and `counts` int64 (B,)."""
        most = max(round(longest * self.options.max_length), 1)
        symbols = rng.integers(0, self.options.max_value + 1, (number, most))
        lengths = rng.integers(1, most + 1, number)
        counts = [len(set(row[:n].tolist())) for row, n in zip(symbols, lengths, strict=True)]
        return {
            "symbols": torch.from_numpy(symbols),
            "lengths": torch.from_numpy(lengths),
            "counts": torch.tensor(counts),
        }

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """The cross-entropy of the count."""
        logits = network(batch["symbols"], batch["lengths"])
        return F.cross_entropy(logits.float(), batch["counts"], reduction="none")

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Wrong counts, cross-entropies, examples."""
        logits = network(batch["symbols"], batch["lengths"]).float()
        wrong = (logits.argmax(dim=1) != batch["counts"]).sum()
        loss = F.cross_entropy(logits, batch["counts"], reduction="sum")
        return torch.stack([wrong.double(), loss.double(), wrong.new_tensor(len(logits)).double()])

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`error`: share of the counts that are wrong."""
        wrong, loss, number = totals.tolist()
        return {"error": wrong / number, "loss": loss / number}
