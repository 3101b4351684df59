"""Which item followed another, told by a Neural Turing Machine (Graves et al. 2014, 4.3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.noisy import NeuralTuringMachine
from pipelines.sequences.activations import activations_of
from pipelines.sequences.task import Batch, GeneratedTask


class AssociativeRecall(GeneratedTask):
    """Sequences of 2 to `max_items` items, each of some binary vectors behind a mark; then one of
    them again between marks of another kind, but never the last one. The answer is the item that
    came after it.

    All items of a batch are as many, as in the paper's curves.
    """

    metrics = ("bits", "error", "loss")

    def make_network(self) -> nn.Module:
        """Two inputs more than bits: the marks."""
        options, made = self.options, activations_of(self.options)
        assert options.hidden_size is not None
        return NeuralTuringMachine(
            options.item_bits + 2,
            options.item_bits,
            controller=options.controller,
            hidden_size=options.hidden_size,
            memory_slots=options.memory_slots,
            memory_width=options.memory_width,
            gate=made.gate,
            candidate=made.candidate,
        )

    def make(self, rng: np.random.Generator, number: int, longest: float) -> Batch:
        """`inputs` (B, T, bits + 2) and `wanted` (B, vectors, bits), both float32."""
        options = self.options
        vectors, bits = options.item_vectors, options.item_bits
        most = max(round(longest * options.max_items), 2)
        items = int(rng.integers(2, most + 1))
        content = rng.integers(0, 2, (number, items, vectors, bits))
        asked = rng.integers(0, items - 1, number)
        rows = np.arange(number)
        block = vectors + 1
        inputs = np.zeros((number, (items + 1) * block + 1 + vectors, bits + 2), np.float32)
        for at in range(items + 1):
            start = at * block
            shown = content[:, at] if at < items else content[rows, asked]
            inputs[:, start, bits if at < items else bits + 1] = 1
            inputs[:, start + 1 : start + block, :bits] = shown
        inputs[:, (items + 1) * block, bits + 1] = 1
        wanted = content[rows, asked + 1].astype(np.float32)
        return {"inputs": torch.from_numpy(inputs), "wanted": torch.from_numpy(wanted)}

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """The cross-entropies of all bits of the answer, together."""
        answer = self._answer(network, batch)
        bits = F.binary_cross_entropy_with_logits(answer, batch["wanted"], reduction="none")
        return bits.sum(dim=(1, 2))

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Wrong bits, examples with one, cross-entropies, examples."""
        answer = self._answer(network, batch)
        wrong = ((answer > 0) != (batch["wanted"] > 0.5)).sum(dim=(1, 2))
        loss = F.binary_cross_entropy_with_logits(answer, batch["wanted"], reduction="sum")
        number = wrong.new_tensor(len(wrong))
        return torch.stack(
            [wrong.sum().double(), (wrong > 0).sum().double(), loss.double(), number.double()]
        )

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`bits`: wrong ones of an answer; `error`: share of the answers with one."""
        bits, wrong, loss, number = totals.tolist()
        return {"bits": bits / number, "error": wrong / number, "loss": loss / number}

    def _answer(self, network: nn.Module, batch: Batch) -> Tensor:
        """Logits (B, vectors, bits) of the steps after the last mark."""
        out, _ = network(batch["inputs"].transpose(0, 1))
        return out[-self.options.item_vectors :].transpose(0, 1).float()
