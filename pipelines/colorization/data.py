"""Which of the prepared pictures are trained on, and which are kept aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arcadia.errors import UserError
from pipelines.colorization.loading import Rows, centred
from pipelines.places import PreparedData, RowGroup

_ASIDE = 4  # what random numbers are for; see `order`


@dataclass(frozen=True, kw_only=True)
class Share:
    """Some row groups of prepared pictures."""

    data: PreparedData
    groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> list[int]:
        """Of each group."""
        return [group.rows for group in self.groups]

    def read(self, number: int) -> Rows:
        """One group by its number here."""
        table = self.data.read(self.groups[number])
        images = [image.as_py() for image in table.column("image")]
        return Rows(images, table.column("label").to_numpy().astype(np.int64))

    def centred_batches(
        self, crop: int, most: int, *, worker: int = 0, num_workers: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The middles of its first pictures, a row group a batch.

        Args:
            crop: side of the squares.
            most: pictures in all, of all workers together.
            worker: every `num_workers`-th group from this one on is this worker's.
            num_workers: that share them.

        Yields:
            uint8 (B, crop, crop, 3) RGB and int64 (B,), -1 for none.
        """
        left = most
        for number, count in enumerate(self.rows):
            taken = min(count, left)
            left -= taken
            if taken and number % num_workers == worker:
                rows = self.read(number)
                images = [centred(image, crop) for image in rows.images[:taken]]
                yield np.stack(images), rows.labels[:taken]

    def chunks(self, crop: int, most: int, size: int = 64) -> Iterator[np.ndarray]:
        """The middles of its first pictures in batches of one size, or all in one where they are
        fewer.

        Args:
            crop: side of the squares.
            most: pictures in all.
            size: of a batch.

        Yields:
            uint8 (B, crop, crop, 3) RGB.
        """
        held = np.empty((0, crop, crop, 3), np.uint8)
        is_first = True
        for images, _ in self.centred_batches(crop, most):
            held = np.concatenate([held, images])
            while len(held) >= size:
                yield held[:size]
                held, is_first = held[size:], False
        if is_first:
            yield held


def class_names(data: PreparedData) -> list[str]:
    """By their number; empty where nothing has a label."""
    return [one.name for one in data.classes]


def shares(
    data: PreparedData, validation: PreparedData | None, fraction: float, seed: int
) -> tuple[Share, Share | None]:
    """What is trained on, and what training is judged by.

    Args:
        data: the prepared pictures.
        validation: others to judge by; None: a part of `data`.
        fraction: of the row groups of `data`, kept aside where there are no others; at least one of
            two, but for 0.
        seed: of the choice.

    Raises:
        UserError: the classes of the two differ.
    """
    groups = data.row_groups()
    if validation is not None:
        if class_names(validation) != class_names(data):
            raise UserError(
                f"validation {validation.uri}: has other classes than {data.uri}; prepare both "
                "with the same --categories"
            )
        return (
            Share(data=data, groups=tuple(groups)),
            Share(data=validation, groups=tuple(validation.row_groups())),
        )
    count = min(max(round(fraction * len(groups)), 1), len(groups) - 1) if fraction else 0
    if not count:
        return Share(data=data, groups=tuple(groups)), None
    order = np.random.default_rng((seed, _ASIDE)).permutation(len(groups)).tolist()
    aside, kept = sorted(order[:count]), sorted(order[count:])
    return (
        Share(data=data, groups=tuple(groups[g] for g in kept)),
        Share(data=data, groups=tuple(groups[g] for g in aside)),
    )
