"""Which class a small picture is of, told by three layers: the paper's exploratory runs."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arcadia.atomic import explained, refuse_special
from arcadia.errors import UserError
from pipelines.sequences.activations import activations_of
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.task import Batch, Split, Task

_LAYERS = 3
_MOST = 100_000  # pictures that are held in memory
_AT_ONCE = 1_000  # rows that are read together
_NO_LABEL = -1  # as `arcadia places prepare` has it
_AT_ONCE = 1_000
_MOST_BYTES = 1 << 31  # of MNIST's files, unpacked: its largest has 47 million


class _Pictures(NamedTuple):
    pixels: np.ndarray
    """uint8 (N, D)."""
    labels: np.ndarray
    """int64 (N,)."""


class ImageClassifier(nn.Module):
    """Three layers of the candidates' activation, and one for the classes.

    Args:
        options: of the layers.
        num_inputs: D.
        num_classes: of the answer.
    """

    def __init__(self, options: SequenceOptions, num_inputs: int, num_classes: int):
        super().__init__()
        assert options.hidden_size is not None
        made, size = activations_of(options), options.hidden_size
        layers: list[nn.Module] = []
        for wide in [num_inputs] + [size] * (_LAYERS - 1):
            layers += [nn.Linear(wide, size), made.candidate(size), nn.Dropout(options.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(size, num_classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (B, classes) of uint8 (B, D)."""
        return self.layers(pixels.float() / 127.5 - 1)


class Images(Task):
    """A folder of MNIST's four files (`train-images-idx3-ubyte` and so on, packed with gzip or
    not), or a Parquet file or folder of pictures with columns `image` (a picture file's bytes) and
    `label`, as `arcadia places prepare` writes them; of these the first 100,000 with a label (none
    is null or -1) are taken, and the last two twentieths of them kept aside. Pictures are resized
    to `picture_size` a side, in colour.
    """

    metrics = ("error", "loss")

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        super().__init__(options, seed, data)
        place = self._only_file("MNIST's folder, or Parquet of pictures")
        self._splits, self._num_classes = _read(Path(place), options)

    def describe(self) -> str:
        """See `Task`."""
        return (
            f"{len(self._splits['train'].labels):,} pictures of {self._num_classes} classes to "
            f"train on, {len(self._splits['test'].labels):,} to test by"
        )

    def make_network(self) -> nn.Module:
        """Three layers."""
        inputs = self._splits["train"].pixels.shape[1]
        return ImageClassifier(self.options, inputs, self._num_classes)

    def training_batch(self, step: int) -> Batch:
        """`pixels` uint8 (B, D) and `labels` int64 (B,); each picture once an epoch, a last few
        left out."""
        assert self.options.batch_size is not None
        size, number = self.options.batch_size, len(self._splits["train"].labels)
        epoch, at = divmod(step, number // size)
        order = np.random.default_rng((self.seed, epoch)).permutation(number)
        return self._batch("train", order[at * size : (at + 1) * size])

    def batches(self, split: Split) -> Iterator[Batch]:
        """The first pictures kept aside."""
        number = min(len(self._splits[split].labels), self.options.validation_examples)
        for start in range(0, number, _AT_ONCE):
            yield self._batch(split, np.arange(start, min(start + _AT_ONCE, number)))

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """The cross-entropy of the class."""
        logits = network(batch["pixels"]).float()
        return F.cross_entropy(logits, batch["labels"], reduction="none")

    def totals(self, network: nn.Module, batch: Batch) -> Tensor:
        """Wrong classes, cross-entropies, pictures."""
        logits = network(batch["pixels"]).float()
        wrong = (logits.argmax(dim=1) != batch["labels"]).sum()
        loss = F.cross_entropy(logits, batch["labels"], reduction="sum")
        return torch.stack([wrong.double(), loss.double(), loss.new_tensor(len(logits)).double()])

    def figures(self, totals: Tensor) -> dict[str, float]:
        """`error`: share of the pictures that are taken for another class's."""
        wrong, loss, number = totals.tolist()
        return {"error": wrong / number, "loss": loss / number}

    def _batch(self, split: str, numbers: np.ndarray) -> Batch:
        some = self._splits[split]
        return {
            "pixels": torch.from_numpy(some.pixels[numbers]),
            "labels": torch.from_numpy(some.labels[numbers]),
        }


def _read(place: Path, options: SequenceOptions) -> tuple[dict[str, _Pictures], int]:
    """The pictures by split, and how many classes there are."""
    if place.is_dir() and (found := sorted(place.glob("train-images*"))):
        kept, test = _idx_pair(place, found[0]), _idx_pair(place, _only(place, "t10k-images*"))
        aside = max(len(kept.labels) // 12, 1)  # 5,000 of MNIST's 60,000
        train = _Pictures(kept.pixels[:-aside], kept.labels[:-aside])
        validation = _Pictures(kept.pixels[-aside:], kept.labels[-aside:])
    else:
        kept = _parquet(place, options)
        aside = max(len(kept.labels) // 20, 1)
        train = _Pictures(kept.pixels[: -2 * aside], kept.labels[: -2 * aside])
        validation = _Pictures(kept.pixels[-2 * aside : -aside], kept.labels[-2 * aside : -aside])
        test = _Pictures(kept.pixels[-aside:], kept.labels[-aside:])
    assert options.batch_size is not None
    if len(train.labels) < options.batch_size:
        raise UserError(
            f"{place}: has {len(train.labels)} pictures to train on, fewer than batch_size "
            f"{options.batch_size}; give a smaller one"
        )
    return {"train": train, "validation": validation, "test": test}, int(kept.labels.max()) + 1


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UserError(f"{folder}: has no {pattern}; MNIST is four files, give all")
    return found[0]


def _idx_pair(folder: Path, images: Path) -> _Pictures:
    split = images.name.partition("-")[0]
    pixels = _idx(images, 3)
    labels = _idx(_only(folder, f"{split}-labels*"), 1)
    if len(pixels) != len(labels):
        raise UserError(f"{images}: has {len(pixels)} pictures, and {len(labels)} labels")
    return _Pictures(pixels.reshape(len(pixels), -1), labels.astype(np.int64))


def _idx(path: Path, axes: int) -> np.ndarray:
    """An array of bytes in MNIST's format: 0, 0, 8, axes, the lengths of the axes, the bytes."""
    refuse_special(path)
    with explained("read", path), open(path, "rb") as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if is_packed else raw
        try:
            head = file.read(4 + 4 * axes)
            shape = np.frombuffer(head[4:], ">u4").tolist() if len(head) == 4 + 4 * axes else []
            wanted = math.prod(shape)
            if head[:4] != bytes([0, 0, 8, axes]) or not 0 < wanted <= _MOST_BYTES:
                raise UserError(f"{path}: is not MNIST's format, or damaged; fetch it again")
            # Not all that comes: a small file can be unpacked to any size.
            data = file.read(wanted + 1)
            if len(data) != wanted:
                raise UserError(f"{path}: is not MNIST's format, or damaged; fetch it again")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"{path}: is damaged ({error}); fetch it again") from error
    return np.frombuffer(data, np.uint8).reshape(shape)


def _parquet(place: Path, options: SequenceOptions) -> _Pictures:
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    if not files:
        raise UserError(f"{place}: holds no Parquet; give MNIST's folder, or Parquet of pictures")
    pixels: list[np.ndarray] = []
    labels: list[object] = []
    side = (options.picture_size, options.picture_size)
    rows = (row for file in files for row in _labelled(file))
    for where, image, label in itertools.islice(rows, _MOST):
        data = image if isinstance(image, bytes) and image else b"\0"
        picture = None
        with contextlib.suppress(cv2.error):  # of one that says it is too large
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise UserError(f"{where} is no picture that can be read")
        pixels.append(cv2.resize(picture, side, interpolation=cv2.INTER_AREA).ravel())
        labels.append(label)
    if len(labels) < 3:
        raise UserError(
            f"{place}: holds {len(labels)} pictures with a label; two are kept aside, give more"
        )
    names = {label: number for number, label in enumerate(sorted(set(labels), key=str))}
    numbers = np.array([names[label] for label in labels], np.int64)
    return _Pictures(np.stack(pixels), numbers)


def _labelled(file: Path) -> Iterator[tuple[str, object, object]]:
    """Of each row of a Parquet file that has a label: where it is, image and label."""
    number = 0
    for batch in _rows(file):
        for image, label in zip(*(column.to_pylist() for column in batch), strict=True):
            if label is not None and label != _NO_LABEL:
                yield f"{file}: row {number}", image, label
            number += 1


def _rows(file: Path) -> Iterator[list[pa.Array]]:
    """The images and labels of a Parquet file, some at a time."""
    try:
        refuse_special(file)
        with explained("read", file):
            opened = pq.ParquetFile(file)
        missing = {"image", "label"} - set(opened.schema_arrow.names)
        if missing:
            raise pa.ArrowInvalid(f"there is no {' and no '.join(sorted(missing))}")
        for batch in opened.iter_batches(_AT_ONCE, columns=["image", "label"]):
            yield [batch.column("image"), batch.column("label")]
    except (pa.ArrowException, OSError) as error:  # Parquet says of damage that reading failed
        raise UserError(
            f"{file}: is no Parquet with columns image and label ({str(error).splitlines()[0]})"
        ) from error
