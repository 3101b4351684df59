"""Sentences for pictures, with soft attention (Gulcehre et al. 2016; Xu et al. 2015)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from arcadia.errors import UserError
from arcadia.media import read_image
from arcadia.workers import own_device
from pipelines.sequences.attention import AttentionDecoder
from pipelines.sequences.config import SequenceOptions
from pipelines.sequences.described import Described, Pair
from pipelines.sequences.task import Batch
from pipelines.sequences.text import read_lines

_LAYER, _WIDTH, _SIDE = "relu5_3", 512, 224
# Files of Flickr8k beside the captions, each with the names of a split's pictures.
_SPLITS = {"train": "trainImages", "validation": "devImages", "test": "testImages"}


class Captioner(nn.Module):
    """Says a sentence of a picture's features.

    Args:
        options: of its cell.
        num_words: of the vocabulary.
    """

    def __init__(self, options: SequenceOptions, num_words: int):
        super().__init__()
        self.decoder = AttentionDecoder(options, num_words, _WIDTH)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, T, V) of the word after each of the batch's `words`."""
        annotations, mask = self.annotate(batch)
        return self.decoder(annotations, mask, batch["words"])

    def annotate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The features as they are, and that all of them count."""
        annotations = batch["features"].float()
        return annotations, torch.ones_like(annotations[..., 0], dtype=torch.bool)


class Captions(Described):
    """A folder of pictures and a file of captions, as Flickr8k has them: lines of `name.jpg#0`, a
    tab and a sentence, or of `name.jpg,sentence`. Where files of the splits lie beside it, they
    count; else the last two twentieths of the pictures are kept aside.

    A picture is seen as VGG-16's features, 512 of each of 14 x 14 parts (relu5_3 at 224 x 224), as
    in Xu et al. They are computed when the picture comes up first, and kept in memory: 200 kB each.
    """

    def __init__(self, options: SequenceOptions, seed: int, data: Sequence[str] = ()):
        if len(data) != 2:
            raise UserError(
                f"data {' '.join(data) or 'None'}: captions needs a folder of pictures and a file "
                "of captions; give --data PICTURES CAPTIONS"
            )
        folder, file = Path(data[0]), data[1]
        if not folder.is_dir():
            raise UserError(f"{data[0]}: is no folder; give that of the pictures first")
        captions = _read_captions(file, options)
        there = {name for name in captions if (folder / name).is_file()}
        self._names = [name for name in captions if name in there]
        self._missing = len(captions) - len(there)
        if len(self._names) < 3:
            raise UserError(
                f"{file}: {len(self._names)} of its pictures are in {data[0]}; two are kept aside, "
                "give the folder that they are in"
            )
        numbers = {name: number for number, name in enumerate(self._names)}
        pairs = {
            split: [Pair(numbers[n], sentence) for n in names for sentence in captions[n]]
            for split, names in _split(self._names, Path(file).parent).items()
        }
        super().__init__(options, seed, data, pairs)
        self._folder = folder
        self._features: dict[int, Tensor] = {}
        self._vgg: nn.Module | None = None

    def describe(self) -> str:
        """See `Task`."""
        missing = f", {self._missing:,} pictures are missing" if self._missing else ""
        return (
            f"{len(self._pairs['train']):,} captions to train on{missing}; "
            f"{len(self.vocabulary):,} different words; {self.steps_per_epoch:,} steps an epoch"
        )

    def make_network(self) -> nn.Module:
        """Says sentences of features."""
        return Captioner(self.options, len(self.vocabulary))

    def sources(self, numbers: Sequence[int]) -> Batch:
        """`features`, float16 (B, 196, 512)."""
        return {"features": torch.stack([self._features_of(n) for n in numbers])}

    @torch.no_grad()
    def _features_of(self, number: int) -> Tensor:
        if number not in self._features:
            if self._vgg is None:
                from pipelines.stylization.networks import load_vgg

                self._vgg = load_vgg("vgg16", [_LAYER]).to(own_device())
            picture = read_image(self._folder / self._names[number])
            square = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            pixels = torch.from_numpy(square).permute(2, 0, 1).unsqueeze(0).float()
            found = self._vgg(pixels.to(next(self._vgg.parameters()).device))[_LAYER]
            # Of 0 to about 100: a tenth, so that nothing saturates at once.
            self._features[number] = (found[0].flatten(1).t() / 10).half().cpu()
        return self._features[number]


def _read_captions(file: str, options: SequenceOptions) -> dict[str, list[tuple[str, ...]]]:
    """Sentences, in lower case, by the picture's name; of one that is too long the beginning."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(read_lines(file, "char"), 1):
        text = "".join(line)
        if not text:
            continue
        name, tab, sentence = text.partition("\t")
        if not tab:
            try:
                fields = next(csv.reader([text]))
            except csv.Error as error:
                raise UserError(f"{file}:{number}: {error}; give NAME,SENTENCE") from error
            if fields[:2] == ["image", "caption"]:
                continue
            name, sentence = fields[0], ",".join(fields[1:])
        if not sentence.strip():
            raise UserError(
                f"{file}:{number}: has no caption; lines are NAME#0, a tab and a sentence, or "
                "NAME,SENTENCE"
            )
        words = tuple(sentence.lower().split()[: options.max_words])
        found.setdefault(name.partition("#")[0], []).append(words)
    return found


def _split(names: Sequence[str], folder: Path) -> dict[str, list[str]]:
    files = {s: sorted(folder.glob(f"*{word}*.txt")) for s, word in _SPLITS.items()}
    if all(len(found) == 1 for found in files.values()):
        there = set(names)
        splits = {}
        for split, found in files.items():
            listed = ["".join(line) for line in read_lines(str(found[0]), "char")]
            splits[split] = [name for name in listed if name in there]
            if not splits[split]:
                raise UserError(f"{found[0]}: names no picture that has a caption and is there")
        return splits
    aside = max(len(names) // 20, 1)
    return {
        "train": list(names[: -2 * aside]),
        "validation": list(names[-2 * aside : -aside]),
        "test": list(names[-aside:]),
    }
