"""The options of sequence experiments: everything that decides what a network becomes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from algorithms.noisy.config import VARIANTS, check_choice
from algorithms.noisy.options import AnnealOptions, NoiseOptions
from arcadia.errors import UserError
from arcadia.precision import Precision
from arcadia.typed import from_json

TaskName = Literal[
    "unique_integers",
    "associative_recall",
    "execute",
    "language",
    "translation",
    "captions",
    "images",
]
Activation = Literal["soft", "hard", "nan", "nah", "nani", "nanil", "nanis"]
Cell = Literal["lstm", "gru"]
Level = Literal["word", "char"]
OptimiserName = Literal["adam", "sgd"]

# What a task has where nothing is said.
_OF_EVERY_TASK: Mapping[str, Any] = dict(
    num_layers=1, learning_rate=1e-3, max_gradient_norm=5.0, batch_size=64
)
_OF_TASK: Mapping[TaskName, Mapping[str, Any]] = {
    "unique_integers": dict(hidden_size=64, steps=20_000, max_gradient_norm=1.0),
    "associative_recall": dict(
        hidden_size=100, steps=50_000, batch_size=16, max_gradient_norm=10.0
    ),
    "execute": dict(hidden_size=256, steps=50_000, num_layers=2),
    "language": dict(hidden_size=200, steps=20_000, batch_size=20, num_layers=2),
    "translation": dict(hidden_size=256, steps=50_000),
    "captions": dict(hidden_size=256, steps=20_000),
    "images": dict(hidden_size=256, steps=10_000),
}

_RANGES: dict[str, tuple[float, float]] = {
    "hidden_size": (1, 100_000),
    "num_layers": (1, 100),
    "steps": (1, math.inf),
    "batch_size": (1, 1_000_000),
    "learning_rate": (1e-12, 1e3),
    "max_gradient_norm": (1e-9, math.inf),
    "weight_decay": (0, 1),
    "dropout": (0, 0.99),
    "program_length": (1, 15),
    "nesting": (1, 20),
    "vocabulary": (3, 10_000_000),
    "unroll": (1, 10_000),
    "max_words": (1, 10_000),
    "picture_size": (1, 1_024),
    "max_length": (1, 10_000),
    "max_value": (1, 100_000),
    "max_items": (2, 1_000),
    "item_vectors": (1, 100),
    "item_bits": (1, 1_000),
    "memory_slots": (3, 100_000),
    "memory_width": (1, 10_000),
    "validation_examples": (1, math.inf),
    "validation_period": (1, math.inf),
    "checkpoint_period": (1, math.inf),
}


@dataclass(frozen=True, kw_only=True)
class _PlainOptions:
    """Those of sequence experiments but for noise."""

    task: TaskName = "unique_integers"
    """unique_integers: how many different ones there are in a sequence. associative_recall: with a
    Neural Turing Machine, which item followed another. execute: what a short program prints.
    language: the next word of a text. translation: of one text into another. captions: sentences
    for pictures. images: the class of small pictures."""

    # Network
    activation: Activation = "nan"
    """Of gates and candidates: soft (sigmoid and tanh), hard, or hard with noise: nan (normal), nah
    (half-normal), nani, nanil, nanis (on the input: constant, learned, where they saturate)."""
    cell: Cell = "lstm"
    """lstm or gru."""
    hidden_size: int | None = None
    """Units of a layer, or of a Neural Turing Machine's controller: 64 of unique_integers, 100 of
    associative_recall, 200 of language, else 256."""
    num_layers: int | None = None
    """Layers: 2 of execute and language, else 1."""
    dropout: float = 0.0
    """Share of what goes from layer to layer that is left out; where words or characters are said,
    also of what goes in and comes out."""
    controller: Literal["lstm", "feedforward"] = "lstm"
    """Of a Neural Turing Machine."""
    memory_slots: int = 128
    """Vectors in a Neural Turing Machine's memory."""
    memory_width: int = 20
    """Length of each."""

    # Learning
    optimizer: OptimiserName = "adam"
    """adam, or sgd."""
    learning_rate: float | None = None
    """0.001."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """constant, or falling to 0 over the steps: linear, cosine."""
    max_gradient_norm: float | None = None
    """Scale the gradient down to this L2 norm where it is longer: 1 of unique_integers, 10 of
    associative_recall, else 5."""
    weight_decay: float = 0.0
    """Of all weights."""
    batch_size: int | None = None
    """Examples a step, of all workers together: 16 of associative_recall, 20 of language, else
    64."""
    steps: int | None = None
    """Until the end: 20,000 of unique_integers, language and captions, 10,000 of images, else
    50,000."""
    curriculum: bool = False
    """Begin with short examples; the longest allowed grow over the first half of the steps."""
    precision: Precision = "auto"
    """Of the network's arithmetic: auto is bfloat16 or float16 on a GPU that is fast with it, and
    float32 on a CPU."""

    # Examples
    max_length: int = 26
    """unique_integers: most integers in a sequence."""
    max_value: int = 10
    """unique_integers: the largest integer; the least is 0."""
    max_items: int = 6
    """associative_recall: most items in a sequence; at least 2."""
    item_vectors: int = 3
    """associative_recall: binary vectors that make an item."""
    item_bits: int = 6
    """associative_recall: bits of each."""

    program_length: int = 3
    """execute: most digits of a program's numbers."""
    nesting: int = 2
    """execute: most operations inside each other."""
    level: Level = "word"
    """language: word or char, what is predicted."""
    vocabulary: int = 10_000
    """language, translation, captions: most different words; the others are one, <unk>."""
    unroll: int = 35
    """language: words of an example, over which gradients go back."""
    max_words: int = 50
    """translation, captions: of a sentence; longer pairs are left out, longer captions cut."""
    picture_size: int = 32
    """images: side that pictures of Parquet are resized to, in pixels."""

    # Validation
    validation_examples: int = 2_000
    """That are looked at."""
    validation_period: int = 1_000
    """Steps between two validations; there is one at the end."""
    checkpoint_period: int = 1_000
    """Steps between two checkpoints; there is one at the end."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("task", TaskName),
            ("activation", Activation),
            ("cell", Cell),
            ("controller", Literal["lstm", "feedforward"]),
            ("level", Level),
            ("optimizer", OptimiserName),
            ("lr_schedule", Literal["constant", "linear", "cosine"]),
            ("precision", Precision),
        ):
            check_choice(name, getattr(self, name), choices)
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise UserError(f"{name} {value}: must be {bounds}")
        places = self.max_items * self.item_vectors
        if self.task == "associative_recall" and places > self.memory_slots:
            raise UserError(
                f"max_items {self.max_items}: of {self.item_vectors} vectors each they do not fit "
                f"into a memory of {self.memory_slots}; give fewer, or more memory_slots"
            )


# Those of noise come last, on the command line, too: a class's fields are behind those of the
# classes it is made of, the last of them first.
@dataclass(frozen=True, kw_only=True)
class SequenceOptions(AnnealOptions, NoiseOptions, _PlainOptions):
    """What is trained, and how. Where a default is None, the task has one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_noise()
        self.check_anneal(self, self.activation, is_noisy=self.is_noisy)
        for name in ("noise_alpha", "noise_c"):
            if getattr(self, name) is not None and not self.is_noisy:
                raise UserError(
                    f"{name} {getattr(self, name)}: activation {self.activation} has no noise; "
                    "give --activation nan, or leave it out"
                )

    def resolved(self) -> SequenceOptions:
        """The same with the task's own values where nothing was said."""
        defaults = {**_OF_EVERY_TASK, **_OF_TASK[self.task]}
        missing = {n: value for n, value in defaults.items() if getattr(self, n) is None}
        return dataclasses.replace(self, **missing)

    @property
    def hangs_on_steps(self) -> bool:
        """Whether what a step does follows from how many there will be."""
        anneals = self.anneal is not None and self.anneal_updates is None
        return anneals or self.curriculum or self.lr_schedule != "constant"

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise in the activations."""
        return self.activation in VARIANTS


def options_from(values: Any) -> SequenceOptions:
    """The options that a run's config holds."""
    return from_json(SequenceOptions, values)
