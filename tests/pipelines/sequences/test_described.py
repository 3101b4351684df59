"""Translation and captions: their files, their sentences, and that they are learnt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arcadia.errors import UserError
from arcadia.media import write_image
from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.attention import AttentionDecoder
from pipelines.sequences.described import MARKS, Described, Pair, pad
from pipelines.sequences.learner import Learner
from pipelines.sequences.tasks.captions import Captions

ENGLISH = {"a": "ein", "b": "bist", "c": "cent", "d": "du", "e": "esel"}


def options(**more: Any) -> SequenceOptions:
    values: dict[str, Any] = dict(
        task="translation",
        hidden_size=32,
        batch_size=16,
        steps=400,
        learning_rate=0.01,
        activation="nan",
        cell="gru",
        max_words=6,
    )
    return SequenceOptions(**(values | more))


@pytest.fixture
def europarl(tmp_path: Path) -> tuple[str, str]:
    """Sentences of one to five words, whose translations have the words backwards."""
    rng = np.random.default_rng(0)
    sources, targets = [], []
    for _ in range(400):
        words = rng.choice(list(ENGLISH), rng.integers(1, 6)).tolist()
        sources.append(" ".join(words))
        targets.append(" ".join(ENGLISH[w] for w in reversed(words)))
    files = (tmp_path / "europarl.en", tmp_path / "europarl.de")
    for file, lines in zip(files, (sources, targets), strict=True):
        file.write_text("\n".join(lines) + "\n")
    return str(files[0]), str(files[1])


@pytest.fixture
def flickr(tmp_path: Path) -> tuple[str, str]:
    """Twelve pictures in three colours, each with two captions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for number in range(12):
        name = ("red", "green", "blue")[number % 3]
        picture = np.full((40, 50, 3), 30, np.uint8)
        picture[..., number % 3] = 220
        write_image(folder / f"{number}.png", picture)
        lines += [f"{number}.png#0\tA {name} picture .", f"{number}.png#1\tThis is {name}"]
    (tmp_path / "Flickr.token.txt").write_text("\n".join(lines))
    return str(folder), str(tmp_path / "Flickr.token.txt")


def described(data: tuple[str, ...], **more: Any) -> Described:
    task = task_of(options(**more), 1, data)
    assert isinstance(task, Described)
    return task


def learnt(task: Described) -> dict[str, float]:
    learner = Learner(task, seed=1)
    assert task.options.steps is not None
    for step in range(task.options.steps):
        learner.step(step, task.training_batch(step))
    return task.figures(learner.totals(task.batches("test")))


def test_pairs_become_padded_numbers(europarl: tuple[str, str]):
    task = described(europarl)
    assert task.vocabulary.symbols[:4] == MARKS and len(task.vocabulary) == 9
    batch = task.training_batch(0)
    assert batch["words"][:, 0].tolist() == [2] * 16
    assert torch.equal(batch["words"][:, 1:] * (batch["wanted"][:, :-1] > 0), batch["words"][:, 1:])
    for read, wanted in zip(batch["read"], batch["wanted"], strict=True):
        assert (read > 0).sum() == (wanted > 3).sum()


def test_an_epoch_holds_each_sentence_once(europarl: tuple[str, str]):
    task = described(europarl)
    assert task.steps_per_epoch == 360 // 16
    for epoch in (0, 1):
        numbers = sorted(n for batch in task._epoch(epoch) for n in batch)
        assert len(set(numbers)) == len(numbers) == 22 * 16
    assert task._epoch(0) != task._epoch(1) and task._epoch(1) == task._epoch(1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_attention_looks_only_where_there_is_something(cell: Any):
    torch.manual_seed(0)
    decoder = AttentionDecoder(options(cell=cell), 9, 5).eval()
    annotations, words = torch.randn(2, 4, 5), torch.randint(0, 9, (2, 3))
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    changed = annotations.clone()
    changed[0, 2:] = 7
    torch.testing.assert_close(decoder(annotations, mask, words), decoder(changed, mask, words))
    alone = decoder(annotations[:1, :2], mask[:1, :2], words[:1])
    torch.testing.assert_close(decoder(annotations, mask, words)[:1], alone)


def test_greedy_words_are_the_likeliest_ones():
    torch.manual_seed(0)
    decoder = AttentionDecoder(options(), 9, 5).eval()
    annotations, mask = torch.randn(3, 4, 5), torch.ones(3, 4, dtype=torch.bool)
    found = decoder.greedy(annotations, mask, 2, 3, 6)
    shown = torch.cat([torch.full((3, 1), 2), found[:, :-1]], dim=1)
    likeliest = decoder(annotations, mask, shown).argmax(dim=2)
    for row, best in zip(found.tolist(), likeliest.tolist(), strict=True):
        end = row.index(3) + 1 if 3 in row else len(row)
        assert row[:end] == best[:end] and set(row[end:]) <= {3}


def test_bleu_of_right_answers_is_100(europarl: tuple[str, str], monkeypatch: Any):
    task = described(europarl)
    network = task.make_network()
    batch = task.training_batch(0)
    right = [task._sentence(row) for row in batch["wanted"]]
    assert any(len(sentence.split()) > 3 for sentence in right)
    monkeypatch.setattr(task, "answers", lambda network, batch: right)
    assert task.figures(task.totals(network, batch))["bleu"] == pytest.approx(100)
    monkeypatch.setattr(task, "answers", lambda network, batch: ["nothing"] * 16)
    assert task.figures(task.totals(network, batch))["bleu"] == 0


def test_translations_are_learnt(europarl: tuple[str, str]):
    figures = learnt(described(europarl))
    assert figures["bleu"] > 80 and figures["perplexity"] < 1.3


def test_captions_are_learnt(flickr: tuple[str, str]):
    task = described(flickr, task="captions", steps=60, batch_size=10)
    figures = learnt(task)
    assert figures["loss"] < 0.6  # one of two sentences, in the right colour
    assert isinstance(task, Captions) and len(task._features) == 11  # all but the validation's


def test_captions_of_the_other_format_and_with_splits(tmp_path: Path, flickr: tuple[str, str]):
    file = tmp_path / "captions.csv"
    rows = [f'{n}.png,"One, or picture {n} ."' for n in range(12)] + ["gone.png,Nothing"]
    file.write_text("image,caption\n" + "\n".join(rows))
    for word, names in (("train", range(8)), ("dev", (8, 9)), ("test", (10, 11))):
        lines = [f"{n}.png" for n in names]
        (tmp_path / f"Flickr_8k.{word}Images.txt").write_text("\n".join(lines))
    task = described((flickr[0], str(file)), task="captions", batch_size=4)
    assert {split: len(pairs) for split, pairs in task._pairs.items()} == {
        "train": 8,
        "validation": 2,
        "test": 2,
    }
    assert task._pairs["test"][1] == Pair(11, ("one,", "or", "picture", "11", "."))
    assert "1 pictures are missing" in task.describe()


def test_pad():
    assert pad([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_texts_that_are_no_pairs_are_refused(tmp_path: Path):
    one, two = written(tmp_path / "one", "a b\n" * 4), written(tmp_path / "two", "c\n" * 5)
    with pytest.raises(UserError, match=r"one: has 4 lines, .*two 5; each must translate"):
        described((one, two))
    with pytest.raises(UserError, match="needs two text files"):
        described((one,))
    long = written(tmp_path / "long", "a b c d e f g\n" * 4)
    with pytest.raises(UserError, match="0 pairs have 1 to max_words 6 words on either side"):
        described((one, long))
    with pytest.raises(UserError, match="batch_size 16: there are 2 sentences to train on"):
        described((one, one))


def test_longer_sentences_are_left_out_and_counted(tmp_path: Path):
    lines = ["a b"] * 30 + ["a b c d e f g"] * 3 + [""]
    one = written(tmp_path / "one", "\n".join(lines) + "\nx\n")
    two = written(tmp_path / "two", "x y\n" * 35)
    assert "29 pairs of sentences to train on, 4 left out" in described((one, two)).describe()


def test_captions_that_cannot_be_used_are_refused(tmp_path: Path, flickr: tuple[str, str]):
    folder, file = flickr
    with pytest.raises(UserError, match="needs a folder of pictures and a file of captions"):
        described((folder,), task="captions")
    with pytest.raises(UserError, match="is no folder; give that of the pictures first"):
        described((file, folder), task="captions")
    with pytest.raises(UserError, match=r"bad:2: has no caption; lines are NAME#0"):
        described((folder, written(tmp_path / "bad", "0.png\ta b\n1.png\n")), task="captions")
    with pytest.raises(UserError, match="0 of its pictures are in"):
        described((folder, written(tmp_path / "other", "q.png#0\ta b\n")), task="captions")
