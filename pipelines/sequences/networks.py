"""Networks of the tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from algorithms.noisy import NoisyGRU, NoisyLSTM
from pipelines.sequences.activations import activations_of
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.task import Carry


def recurrent(options: SequenceOptions, input_size: int) -> NoisyLSTM | NoisyGRU:
    """An LSTM or a GRU as the options ask for it, over sequences (T, B, input_size)."""
    assert options.hidden_size is not None and options.num_layers is not None
    kind = NoisyLSTM if options.cell == "lstm" else NoisyGRU
    made = activations_of(options)
    return kind(
        input_size,
        options.hidden_size,
        options.num_layers,
        dropout=options.dropout,
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


class SymbolPredictor(nn.Module):
    """Predicts after each symbol of a sequence the one that follows.

    Args:
        options: of the recurrent network.
        num_symbols: from 0 on.
    """

    def __init__(self, options: SequenceOptions, num_symbols: int):
        super().__init__()
        assert options.hidden_size is not None
        self.embedding = nn.Embedding(num_symbols, options.hidden_size)
        self.reader = recurrent(options, options.hidden_size)
        self.dropout = nn.Dropout(options.dropout)
        self.answer = nn.Linear(options.hidden_size, num_symbols)

    def forward(self, symbols: Tensor, carry: Carry | None) -> tuple[Tensor, Carry]:
        """Logits (B, T, symbols) of symbols, int64 (B, T), and what is remembered; `carry` is what
        was, before the first of them."""
        read = self.dropout(self.embedding(symbols.t()))
        out, last = self.reader(read, None if carry is None else _state(carry))
        logits = self.answer(self.dropout(out)).transpose(0, 1)
        parts = last if isinstance(last, tuple) else (last,)
        return logits, tuple(part.transpose(0, 1).detach() for part in parts)


def _state(carry: Carry) -> Any:
    """As recurrent networks take it: layers first, of an LSTM a pair."""
    parts = tuple(part.transpose(0, 1).contiguous() for part in carry)
    return parts if len(parts) > 1 else next(iter(parts))
