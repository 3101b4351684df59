"""Translation with attention (Gulcehre et al. 2016; Bahdanau et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from algorithms.noisy import NoisyGRU, NoisyLSTM
from arcadia.errors import UserError
from pipelines.sequences.activations import activations_of
from pipelines.sequences.attention import AttentionDecoder
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.described import Described, Pair, pad
from pipelines.sequences.task import Batch
from pipelines.sequences.text import PADDING, UNKNOWN, Vocabulary, read_lines


class Translator(nn.Module):
    """Reads a sentence in both directions, then says another one.

    Args:
        options: of its recurrent networks.
        num_words: of the vocabularies: that which is read, that which is said.
    """

    def __init__(self, options: SequenceOptions, num_words: tuple[int, int]):
        super().__init__()
        assert options.hidden_size is not None
        made = activations_of(options)
        self.embedding = nn.Embedding(num_words[0], options.hidden_size)
        kind = NoisyLSTM if options.cell == "lstm" else NoisyGRU
        self.reader = kind(
            options.hidden_size,
            options.hidden_size,
            options.num_layers or 1,
            dropout=options.dropout,
            bidirectional=True,
            gate=made.gate,
            candidate=made.candidate,
        )
        self.decoder = AttentionDecoder(options, num_words[1], 2 * options.hidden_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, T, V) of the word after each of the batch's `words`."""
        annotations, mask = self.annotate(batch)
        return self.decoder(annotations, mask, batch["words"])

    def annotate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Annotations (B, S, 2 H) of `read`, int64 (B, S), and where there are words."""
        mask = batch["read"] != 0
        embedded = self.embedding(batch["read"].t())
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded, mask.sum(dim=1).cpu(), enforce_sorted=False
        )
        out, _ = self.reader(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(out, total_length=mask.shape[1])
        return padded.transpose(0, 1), mask


class Translation(Described):
    """Pairs of lines of two text files, as Europarl has them; the last two twentieths are kept
    aside. Pairs with an empty line, or one of more than `max_words` words, are left out."""

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        if len(data) != 2:
            raise UserError(
                f"data {' '.join(data) or 'None'}: translation needs two text files, line by line "
                "the same in two languages; give --data SOURCE TARGET"
            )
        lines = [read_lines(place) for place in data]
        if len(lines[0]) != len(lines[1]):
            raise UserError(
                f"{data[0]}: has {len(lines[0]):,} lines, {data[1]} {len(lines[1]):,}; each must "
                "translate the other's"
            )
        kept = [
            (source, target)
            for source, target in zip(*lines, strict=True)
            if 0 < len(source) <= options.max_words and 0 < len(target) <= options.max_words
        ]
        if len(kept) < 3:
            raise UserError(
                f"{data[0]}: {len(kept)} pairs have 1 to max_words {options.max_words} words on "
                "either side; two are kept aside, give more"
            )
        self._left_out = len(lines[0]) - len(kept)
        self._read = [source for source, _ in kept]
        pairs = [Pair(n, tuple(target)) for n, (_, target) in enumerate(kept)]
        aside = max(len(pairs) // 20, 1)
        super().__init__(
            options,
            seed,
            data,
            {
                "train": pairs[: -2 * aside],
                "validation": pairs[-2 * aside : -aside],
                "test": pairs[-aside:],
            },
        )
        self._source_words = Vocabulary(
            (self._read[pair.source] for pair in self._pairs["train"]),
            options.vocabulary,
            (PADDING, UNKNOWN),
        )

    def describe(self) -> str:
        """See `Task`."""
        return (
            f"{len(self._pairs['train']):,} pairs of sentences to train on, {self._left_out:,} "
            f"left out; {len(self._source_words):,} and {len(self.vocabulary):,} different words; "
            f"{self.steps_per_epoch:,} steps an epoch"
        )

    def make_network(self) -> nn.Module:
        """Reads the one language, says the other."""
        return Translator(self.options, (len(self._source_words), len(self.vocabulary)))

    def sources(self, numbers: Sequence[int]) -> Batch:
        """`read`, int64 (B, S), padded with 0."""
        return {"read": pad([self._source_words.numbers(self._read[n]) for n in numbers])}
