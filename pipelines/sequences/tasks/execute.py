"""Learning to execute: what a short program prints, character by character (Zaremba & Sutskever
2014, as in Gulcehre et al. 2016, section 5.1)."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines.sequences.networks import SymbolPredictor
from pipelines.sequences.programs import Program, make_program
from pipelines.sequences.task import Batch, GeneratedTask

_CHARACTERS = "\0" + string.digits + string.ascii_lowercase + "\n ()+-*=<:@."
_NUMBERS = {character: number for number, character in enumerate(_CHARACTERS)}
_ASK, _END = "@", "."
_PADDING = 0


class Execute(GeneratedTask):
    """Programs with numbers of up to `program_length` digits and up to `nesting` operations, all
    lengths and depths alike; the answer is what they print and a full stop.

    The network reads the program, then predicts each character of the answer from the right ones
    before it.
    """

    metrics = ("error", "wrong", "loss")

    def make_network(self) -> nn.Module:
        """Predicts the next character."""
        return SymbolPredictor(self.options, len(_CHARACTERS))

    def make(self, rng: np.random.Generator, number: int, longest: float) -> Batch:
        """`symbols` int64 (B, T), programs and answers, ends aligned; `wanted` int64 (B, T), what
        comes next in an answer, -1 elsewhere."""
        options = self.options
        digits = max(round(longest * options.program_length), 1)
        depth = max(round(longest * options.nesting), 1)
        programs = [
            make_program(rng, int(rng.integers(1, digits + 1)), int(rng.integers(1, depth + 1)))
            for _ in range(number)
        ]
        return _encoded(programs)

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """The cross-entropies of an answer's characters, together."""
        return self._entropies(network, batch)[0].sum(dim=1)

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Wrong characters, characters, wrong answers, answers, cross-entropies."""
        entropies, logits = self._entropies(network, batch)
        counts = batch["wanted"] >= 0
        wrong = (logits.argmax(dim=2) != batch["wanted"]) & counts
        number = entropies.new_tensor(len(entropies))
        sums = (wrong.sum(), counts.sum(), wrong.any(dim=1).sum(), number, entropies.sum())
        return torch.stack([value.double() for value in sums])

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`error`: share of the characters that are wrong, each predicted from the right ones
        before it; `wrong`: share of the answers with one; `loss`: of an answer."""
        characters, all_characters, answers, number, loss = totals.tolist()
        return {
            "error": characters / all_characters,
            "wrong": answers / number,
            "loss": loss / number,
        }

    def _entropies(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropies (B, T), 0 where nothing is wanted, and the logits (B, T, symbols)."""
        logits, _ = network(batch["symbols"], None)
        logits, wanted = logits.float(), batch["wanted"]
        entropies = F.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=-1, reduction="none"
        )
        return entropies.view(wanted.shape), logits


def _encoded(programs: Sequence[Program]) -> Batch:
    texts = [(p.source + _ASK, str(p.result) + _END) for p in programs]
    longest = max(len(source) + len(answer) for source, answer in texts)
    symbols = np.full((len(texts), longest - 1), _PADDING)
    wanted = np.full((len(texts), longest - 1), -1)
    for row, (source, answer) in enumerate(texts):
        numbers = [_NUMBERS[c] for c in source + answer]
        symbols[row, longest - len(numbers) :] = numbers[:-1]
        wanted[row, longest - 1 - len(answer) :] = numbers[-len(answer) :]
    return {"symbols": torch.from_numpy(symbols), "wanted": torch.from_numpy(wanted)}
