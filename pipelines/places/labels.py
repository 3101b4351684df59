"""Classes: what a picture's folders say, and the numbers that classes get."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from arcadia.atomic import explained, refuse_special
from arcadia.errors import UserError, did_you_mean
from arcadia.storage import Storage

SPLITS = frozenset(("train", "val", "validation", "test"))
UNLABELLED = -1

_MOST_CLASSES = 1_000_000
_MOST_DIGITS = 20
_NUMBERED = re.compile(r"(?P<words>.+?)[\s,]+(?P<number>-?\d+)")


def label_of(folders: Sequence[str], *, is_split: bool = False) -> str:
    """The class that a picture's folders name; an empty string where they name none.

    Args:
        folders: from below the source down to the picture.
        is_split: whether the first one is a split, such as `train`, even if nothing follows.

    Returns:
        The folders joined by "/", without a leading split and a lone letter after it, as Places
        has them: `train/a/abbey` is "abbey".
    """
    parts = list(folders)
    if parts and parts[0] in SPLITS and (is_split or len(parts) > 1):
        del parts[0]
    if len(parts) > 1 and len(parts[0]) == 1 and parts[0].isalpha():
        del parts[0]
    return "/".join(parts)


def split_number(line: str) -> tuple[str, int] | None:
    """The words and the number at the end of a line, after blanks or a comma; None: there is no
    number."""
    match = _NUMBERED.fullmatch(line.strip())
    return (match["words"], whole_number(match["number"])) if match else None


def whole_number(digits: str) -> int:
    """The number of some digits, or one far beyond all labels where there are too many of them:
    Python reads no more than 4,300."""
    return int(digits[:_MOST_DIGITS])


def lines_of(path: str) -> Iterator[str]:
    """The lines of a text file that are not blank. UserError where it is none."""
    refuse_special(path)
    with (
        explained("read", path),
        open(path, encoding="utf-8-sig", errors="surrogateescape") as file,
    ):
        for line in file:
            if "\0" in line:
                raise UserError(f"{path}: is no text file; give one of lines")
            if line.strip():
                yield line.strip()


def read_categories(path: str) -> tuple[str, ...]:
    """Names of classes by their number.

    Args:
        path: a file of `name number` lines, as Places has it, or of names alone in their order; or
            a prepared data set, whose classes are taken.
    """
    from pipelines.places.prepared import PreparedData

    if PreparedData.is_at(path):
        return tuple(entry.name for entry in PreparedData.open(path).classes)
    if "://" in path:
        raise UserError(f"{Storage.at(path).shown()}: no prepared data are there")
    lines = list(lines_of(path))
    pairs = [pair for line in lines if (pair := split_number(line)) is not None]
    names = lines
    if len(pairs) == len(lines) and sorted(n for _, n in pairs) == list(range(len(lines))):
        names = [name for name, _ in sorted(pairs, key=lambda pair: pair[1])]
    names = [label_of(name.strip("/").split("/")) for name in names]
    if not names:
        raise UserError(f"{path}: names no class; give lines of a name and a number")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f'{path}: names the class "{twice}" twice; remove one')
    return tuple(names)


class Classes:
    """Collects the classes while the source is read. Their final numbers are known at its end, when
    the names are sorted, or from the beginning when there are categories.

    Args:
        categories: names of all classes by their number; None: whatever is found.
        where: what `categories` came from, for messages.
    """

    def __init__(self, categories: tuple[str, ...] | None = None, where: str = ""):
        self._categories = categories
        self._where = where
        self._found: dict[str, int] = {name: i for i, name in enumerate(categories or ())}
        self._largest = UNLABELLED

    def index(self, label: str | int | None) -> int:
        """The number that stands for a label until the end, -1 for none.

        Raises:
            UserError: no category is called so, or names and numbers are mixed.
        """
        if label is None or label in ("", UNLABELLED):
            return UNLABELLED
        if isinstance(label, int):
            return self._number(label)
        if self._largest >= 0 and self._categories is None:
            raise self._mixed()
        if label not in self._found:
            if self._categories is not None:
                near = did_you_mean(label, self._categories)
                raise UserError(f'"{label}": no class of {self._where} is called so{near}')
            self._found[label] = len(self._found)
        return self._found[label]

    def _number(self, number: int) -> int:
        most = _MOST_CLASSES if self._categories is None else len(self._categories)
        if not 0 <= number < most:
            where = f" of {self._where}" if self._categories else ""
            raise UserError(
                f"label {number}: must be from 0 to {most - 1:,}{where}, or -1 for none"
            )
        if self._found and self._categories is None:
            raise self._mixed()
        self._largest = max(self._largest, number)
        return number

    @staticmethod
    def _mixed() -> UserError:
        return UserError(
            "labels: some are names, some are numbers; give --categories, which says what the "
            "numbers are called"
        )

    def finish(self) -> tuple[list[str], np.ndarray]:
        """Names by their final number, and the final number of each that `index` gave."""
        if self._categories is not None:
            names = list(self._categories)
        elif self._largest >= 0:
            names = [str(number) for number in range(self._largest + 1)]
        else:
            names = sorted(self._found)
            final = {name: i for i, name in enumerate(names)}
            return names, np.array([final[name] for name in self._found], np.int32)
        return names, np.arange(len(names), dtype=np.int32)
