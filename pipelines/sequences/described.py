"""What tasks have in common whose answers are sentences: their losses, and BLEU."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.task import Batch, Split, Task
from pipelines.sequences.text import BEGIN, END, PADDING, UNKNOWN, Vocabulary

MARKS = (PADDING, UNKNOWN, BEGIN, END)
_PADDING, _BEGIN, _END = 0, 2, 3
_POOL = 20  # batches whose examples are sorted by length together, so that little is padded


class Pair(NamedTuple):
    """An example."""

    source: int
    """Number of what is described; several may describe the same."""
    sentence: tuple[str, ...]


class Described(Task):
    """Sentences for sources. Networks have `annotate(batch)`, which answers annotations (B, S, D)
    and a mask (B, S), and a `decoder`, an `AttentionDecoder`."""

    metrics = ("loss", "perplexity", "bleu")

    def __init__(
        self,
        options: SequenceOptions,
        seed: int,
        data: Sequence[str],
        pairs: dict[str, list[Pair]],
    ):
        super().__init__(options, seed, data)
        self._pairs = pairs
        self.vocabulary = Vocabulary(
            (pair.sentence for pair in pairs["train"]), options.vocabulary, MARKS
        )
        assert options.batch_size is not None
        if len(pairs["train"]) < options.batch_size:
            raise UserError(
                f"batch_size {options.batch_size}: there are {len(pairs['train'])} sentences to "
                "train on; give less, or more sentences"
            )
        self._order: tuple[int, list[list[int]]] = (-1, [])

    @abstractmethod
    def sources(self, numbers: Sequence[int]) -> Batch:
        """What sources are to the network, of their numbers."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each sentence is learnt from once; a last few are left out."""
        assert self.options.batch_size is not None
        return len(self._pairs["train"]) // self.options.batch_size

    def training_batch(self, step: int) -> Batch:
        """Those of `sources`; `words` and `wanted`, int64 (B, T), the one a word ahead of the
        other, padded with 0."""
        epoch, at = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._epoch(epoch))
        return self._batch([self._pairs["train"][n] for n in self._order[1][at]])

    def batches(self, split: Split) -> Iterator[Batch]:
        """The first examples kept aside, as they come."""
        assert self.options.batch_size is not None
        pairs = self._pairs[split][: self.options.validation_examples]
        for start in range(0, len(pairs), self.options.batch_size):
            yield self._batch(pairs[start : start + self.options.batch_size])

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """The mean cross-entropy of a sentence's words."""
        entropies, number = _entropies(network, batch)
        return entropies.sum(dim=1) / number

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropies and words; of BLEU: matches of 1 to 4 words, all such of the answers,
        lengths of answers and of what was wanted."""
        from sacrebleu.metrics.bleu import BLEU

        entropies, number = _entropies(network, batch)
        found = self.answers(network, batch)
        wanted = [self._sentence(row) for row in batch["wanted"]]
        score = BLEU(force=True).corpus_score(found, [wanted])
        counts = [*score.counts, *score.totals, score.sys_len, score.ref_len]
        first = torch.stack([entropies.sum().double(), number.sum().double()]).cpu()
        return torch.cat([first, torch.tensor(counts, dtype=torch.float64)])

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`loss`: nats a word; `perplexity`: its exp; `bleu`: of greedy answers, as sacrebleu
        counts it, 0 to 100."""
        from sacrebleu.metrics.bleu import BLEU

        loss, number, *counts = totals.tolist()
        correct, total = [round(c) for c in counts[:4]], [round(c) for c in counts[4:8]]
        bleu = BLEU.compute_bleu(correct, total, round(counts[8]), round(counts[9]))
        mean = loss / number
        return {"loss": mean, "perplexity": math.exp(min(mean, 700)), "bleu": bleu.score}

    def answers(self, network: nn.Module, batch: Batch) -> list[str]:
        """What the network says of sources, the likeliest word after each."""
        annotations, mask = network.annotate(batch)  # type: ignore[operator]
        most = self.options.max_words + 1
        words = network.decoder.greedy(annotations, mask, _BEGIN, _END, most)  # type: ignore[union-attr]
        return [self._sentence(row) for row in words]

    def _sentence(self, numbers: Tensor) -> str:
        words = []
        for number in numbers.tolist():
            if number in (_END, _PADDING):
                break
            words.append(self.vocabulary.symbols[number])
        return " ".join(words)

    def _epoch(self, epoch: int) -> list[list[int]]:
        """The numbers of the pairs of each batch; in another order in each epoch."""
        assert self.options.batch_size is not None
        size = self.options.batch_size
        rng = np.random.default_rng((self.seed, epoch))
        pairs = self._pairs["train"]
        order = rng.permutation(len(pairs))[: self.steps_per_epoch * size]
        batches = []
        for start in range(0, len(order), _POOL * size):
            pool = order[start : start + _POOL * size].tolist()
            pool.sort(key=lambda n: len(pairs[n].sentence))
            batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        return [batches[n] for n in rng.permutation(len(batches))]

    def _batch(self, pairs: Sequence[Pair]) -> Batch:
        sentences = [[_BEGIN, *self.vocabulary.numbers(p.sentence), _END] for p in pairs]
        padded = pad(sentences)
        shown = {"words": padded[:, :-1], "wanted": padded[:, 1:]}
        return {**self.sources([pair.source for pair in pairs]), **shown}


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """int64 (B, longest), with 0 behind the shorter ones."""
    padded = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
    for at, row in enumerate(rows):
        padded[at, : len(row)] = torch.tensor(row)
    return padded


def _entropies(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropies (B, T), 0 behind the end, and how many words count, (B,)."""
    logits, wanted = network(batch).float(), batch["wanted"]
    found = F.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=_PADDING, reduction="none"
    )
    return found.view(wanted.shape), (wanted != _PADDING).sum(dim=1)
