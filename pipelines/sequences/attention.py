"""A decoder that looks, at every word, at the parts of what it describes (Bahdanau et al. 2015; Xu
et al. 2015, soft attention).

Shapes: B batch, S parts, D length of a part's annotation, T words, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.noisy import NoisyGRUCell, NoisyLSTMCell
from pipelines.sequences.activations import activations_of
from pipelines.sequences.config import SequenceOptions


class AttentionDecoder(nn.Module):
    """Words for annotations.

    Args:
        options: of its cell.
        num_words: V.
        annotation_size: D.
    """

    def __init__(self, options: SequenceOptions, num_words: int, annotation_size: int):
        super().__init__()
        assert options.hidden_size is not None
        size, made = options.hidden_size, activations_of(options)
        self.embedding = nn.Embedding(num_words, size)
        kind = NoisyLSTMCell if options.cell == "lstm" else NoisyGRUCell
        self.cell = kind(size + annotation_size, size, gate=made.gate, candidate=made.candidate)
        self.first_h = nn.Linear(annotation_size, size)
        self.of_annotation = nn.Linear(annotation_size, size, bias=False)
        self.of_state = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)
        self.dropout = nn.Dropout(options.dropout)
        self.answer = nn.Linear(2 * size + annotation_size, num_words)

    def forward(self, annotations: Tensor, mask: Tensor, words: Tensor) -> Tensor:
        """Logits (B, T, V) of the word after each of `words`, int64 (B, T), from annotations
        (B, S, D) where `mask`, bool (B, S), is true."""
        keys, state = self._begin(annotations, mask)
        embedded = self.dropout(self.embedding(words))
        seen = []
        for now in embedded.unbind(1):
            out, state = self._step(now, annotations, keys, mask, state)
            seen.append(out)
        return self.answer(self.dropout(torch.stack(seen, dim=1)))

    @torch.no_grad()
    def greedy(self, annotations: Tensor, mask: Tensor, begin: int, end: int, most: int) -> Tensor:
        """The likeliest word after each: int64 (B, at most `most`), `end` from where it ends."""
        keys, state = self._begin(annotations, mask)
        words = torch.full((len(annotations),), begin, device=annotations.device)
        is_over = torch.zeros_like(words, dtype=torch.bool)
        found = []
        for _ in range(most):
            out, state = self._step(self.embedding(words), annotations, keys, mask, state)
            words = self.answer(out).argmax(dim=1).masked_fill(is_over, end)
            found.append(words)
            is_over |= words == end
            if is_over.all():
                break
        return torch.stack(found, dim=1)

    def _begin(self, annotations: Tensor, mask: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        weights = mask.unsqueeze(2).to(annotations.dtype)
        mean = (annotations * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)
        h = torch.tanh(self.first_h(mean))
        return self.of_annotation(annotations), (h, torch.zeros_like(h))

    def _step(
        self,
        embedded: Tensor,
        annotations: Tensor,
        keys: Tensor,
        mask: Tensor,
        state: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What a word is chosen by, and the state after it."""
        h, c = state
        scores = self.score(torch.tanh(keys + self.of_state(h).unsqueeze(1))).squeeze(2)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        context = torch.bmm(weights.unsqueeze(1), annotations).squeeze(1)
        read = torch.cat([embedded, context], dim=1)
        if isinstance(self.cell, NoisyLSTMCell):
            h, c = self.cell(read, (h, c))
        else:
            h = self.cell(read, h)
        return torch.cat([h, embedded, context], dim=1), (h, c)
