"""Networks of the tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.noisy import NoisyGRU, NoisyLSTM
from pipelines.sequences.activations import activations_of
from pipelines.sequences.config import SequenceOptions


def recurrent(options: SequenceOptions, input_size: int) -> NoisyLSTM | NoisyGRU:
    """An LSTM or a GRU as the options ask for it, over sequences (T, B, input_size)."""
    assert options.hidden_size is not None
    kind = NoisyLSTM if options.cell == "lstm" else NoisyGRU
    made = activations_of(options)
    return kind(
        input_size,
        options.hidden_size,
        options.num_layers,
        gate=made.gate,
        candidate=made.candidate,
    )


class SequenceClassifier(nn.Module):
    """Reads a sequence of symbols, then says of which class it is.

    Args:
        options: of the recurrent network.
        num_symbols: from 0 on.
        num_classes: of the answer.
    """

    def __init__(self, options: SequenceOptions, num_symbols: int, num_classes: int):
        super().__init__()
        assert options.hidden_size is not None
        self.embedding = nn.Embedding(num_symbols, options.hidden_size)
        self.reader = recurrent(options, options.hidden_size)
        self.answer = nn.Linear(options.hidden_size, num_classes)

    def forward(self, symbols: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, classes) of symbols, int64 (B, T), of which `lengths`, int64 (B,), count."""
        outs, _ = self.reader(self.embedding(symbols.t()))
        last = outs[lengths - 1, torch.arange(len(lengths), device=outs.device)]
        return self.answer(last)
