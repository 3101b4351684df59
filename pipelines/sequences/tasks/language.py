"""Predicting the next word, or character, of a text (Gulcehre et al. 2016, section 5.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.networks import SymbolPredictor
from pipelines.sequences.task import Batch, Carry, Split, Task
from pipelines.sequences.text import END, Vocabulary, read_lines

_STREAMS = 10  # that a text kept aside is read in


class Language(Task):
    """One long text, a line's end a word of its own, read in as many streams as a batch has
    examples: each goes on where it was in the step before, and the network remembers.

    `data` is a text file, the last two twentieths of whose lines are kept aside, or a folder with
    three, whose names have train, valid and test in them, as the Penn Treebank's do. Words that the
    vocabulary lacks are `<unk>`.
    """

    metrics = ("perplexity", "loss")

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        super().__init__(options, seed, data)
        assert options.batch_size is not None
        lines = _splits(self._only_file("a text file, or a folder of three"), options)
        self.vocabulary = Vocabulary(lines["train"], options.vocabulary)
        self._texts = {
            name: np.array([n for line in some for n in self.vocabulary.numbers([*line, END])])
            for name, some in lines.items()
        }
        self._streams = _streams(self._texts["train"], options.batch_size)
        if self._streams.shape[1] <= options.unroll:
            raise UserError(
                f"unroll {options.unroll}: each of batch_size {options.batch_size} streams has "
                f"{self._streams.shape[1]} words of the text; give less of either, or more text"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the text is read once."""
        return (self._streams.shape[1] - 1) // self.options.unroll

    def describe(self) -> str:
        """See `Task`."""
        return (
            f"{len(self._texts['train']):,} {self.options.level}s to train on, "
            f"{len(self.vocabulary):,} different ones; {self.steps_per_epoch:,} steps an epoch"
        )

    def make_network(self) -> nn.Module:
        """Predicts the next word."""
        return SymbolPredictor(self.options, len(self.vocabulary))

    def training_batch(self, step: int) -> Batch:
        """`symbols` and `wanted`, int64 (B, unroll), the one a word ahead of the other."""
        return _window(self._streams, step % self.steps_per_epoch, self.options.unroll)

    def begins_anew(self, step: int) -> bool:
        """See `Task`."""
        return step % self.steps_per_epoch == 0

    def batches(self, split: Split) -> Iterator[Batch]:
        """Windows of a text kept aside, one after the other."""
        streams = _streams(self._texts[split], min(_STREAMS, len(self._texts[split]) // 2))
        for at in range(math.ceil((streams.shape[1] - 1) / self.options.unroll)):
            yield _window(streams, at, self.options.unroll)

    def losses_from(
        self, network: nn.Module, batch: Batch, carry: Carry | None
    ) -> tuple[Tensor, Carry]:
        """The mean cross-entropy of an example's words."""
        entropies, after = _entropies(network, batch, carry)
        return entropies.mean(dim=1), after

    def totals_from(
        self, network: nn.Module, batch: Batch, carry: Carry | None
    ) -> tuple[Tensor, Carry]:
        """Cross-entropies, words."""
        entropies, after = _entropies(network, batch, carry)
        number = entropies.new_tensor(entropies.numel())
        return torch.stack([entropies.sum().double(), number.double()]), after

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`perplexity`: exp of the mean cross-entropy of a word."""
        loss, number = totals.tolist()
        return {"perplexity": math.exp(min(loss / number, 700)), "loss": loss / number}


def _entropies(network: nn.Module, batch: Batch, carry: Carry | None) -> tuple[Tensor, Carry]:
    logits, after = network(batch["symbols"], carry)
    wanted = batch["wanted"]
    found = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
    return found.view(wanted.shape), after


def _streams(text: np.ndarray, number: int) -> np.ndarray:
    """(B, length): the text cut into so many pieces of one length; the rest is not read."""
    length = len(text) // number
    return text[: number * length].reshape(number, length)


def _window(streams: np.ndarray, at: int, unroll: int) -> Batch:
    start = at * unroll
    piece = torch.from_numpy(streams[:, start : start + unroll + 1].copy())
    return {"symbols": piece[:, :-1], "wanted": piece[:, 1:]}


def _splits(place: str, options: SequenceOptions) -> dict[str, list[list[str]]]:
    """Lines by train, validation and test."""
    path, level = Path(place), options.level
    if path.is_dir():
        files = {}
        for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
            found = sorted(path.glob(f"*{word}*"))
            if len(found) != 1:
                raise UserError(
                    f"{place}: {len(found)} files have {word} in their names; give a folder with "
                    "one each for train, valid and test"
                )
            files[split] = read_lines(str(found[0]), level)
        return files
    lines = [line for line in read_lines(place, level) if line]
    aside = max(len(lines) // 20, 1)
    if len(lines) < 3:
        raise UserError(f"{place}: has {len(lines)} lines; two are kept aside, give more")
    return {
        "train": lines[: -2 * aside],
        "validation": lines[-2 * aside : -aside],
        "test": lines[-aside:],
    }
