"""Text files as lists of words, and words as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from arcadia.atomic import explained, refuse_special
from arcadia.errors import UserError
from pipelines.sequences.config import Level

UNKNOWN, END, BEGIN, PADDING = "<unk>", "<eos>", "<bos>", "<pad>"


def read_lines(path: str, level: Level = "word") -> list[list[str]]:
    """The lines of a text file, each as its words (between blanks) or its characters.

    Raises:
        UserError: it cannot be read, is not UTF-8 or holds nothing.
    """
    refuse_special(path)
    with explained("read", path):
        data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not UTF-8 (byte {error.start}); convert it, such as with iconv -t UTF-8"
        ) from error
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: holds no text; give a file of lines")
    return [line.split() if level == "word" else list(line.strip()) for line in lines]


class Vocabulary:
    """The most frequent symbols of a text, and marks, as numbers from 0 on.

    Args:
        lines: the text.
        size: at most so many, marks included.
        marks: that come first, in their order; `UNKNOWN` among them stands for all others.

    Attributes:
        symbols: by number.
    """

    def __init__(
        self,
        lines: Iterable[Sequence[str]],
        size: int,
        marks: Sequence[str] = (UNKNOWN, END),
    ):
        counts = Counter(symbol for line in lines for symbol in line)
        for mark in marks:
            counts.pop(mark, None)
        # By frequency, then by name: the same for the same text, whatever the order of its lines.
        ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        self.symbols = (*marks, *ranked[: max(size - len(marks), 0)])
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        self._unknown = self._numbers[UNKNOWN]

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, symbol: str) -> int:
        return self._numbers.get(symbol, self._unknown)

    def numbers(self, symbols: Iterable[str]) -> list[int]:
        """Of symbols, those that it does not know as `UNKNOWN`."""
        return [self[symbol] for symbol in symbols]
