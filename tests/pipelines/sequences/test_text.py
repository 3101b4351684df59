"""Text files, vocabularies, and the language model's windows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from arcadia.crew import Crew
from arcadia.errors import UserError
from arcadia.runs import RunFolder
from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.checkpoints import load_state
from pipelines.sequences.job import KIND, TrainOptions, config_of, hash_of
from pipelines.sequences.learner import Learner
from pipelines.sequences.task import summed_totals
from pipelines.sequences.tasks.language import Language
from pipelines.sequences.text import END, UNKNOWN, Vocabulary, read_lines
from pipelines.sequences.train import Training


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.fixture
def counting(tmp_path: Path) -> str:
    """Lines whose next word follows from the one before."""
    lines = [" ".join(str((start + at) % 7) for at in range(6)) for start in range(7)]
    return written(tmp_path / "counting.txt", "\n".join(lines * 20) + "\n")


def options(**more: Any) -> SequenceOptions:
    values: dict[str, Any] = dict(
        task="language",
        hidden_size=24,
        num_layers=1,
        batch_size=4,
        unroll=5,
        steps=60,
        learning_rate=0.02,
        validation_period=60,
        checkpoint_period=7,
        activation="nan",
    )
    return SequenceOptions(**(values | more))


def language(data: str, **more: Any) -> Language:
    task = task_of(options(**more), 1, (data,))
    assert isinstance(task, Language)
    return task


def test_lines_are_words_or_characters(tmp_path: Path):
    path = written(tmp_path / "a.txt", "the cat  sat\n\nä b\n")
    assert read_lines(path) == [["the", "cat", "sat"], [], ["ä", "b"]]
    assert read_lines(path, "char")[2] == ["ä", " ", "b"]


def test_a_vocabulary_holds_the_most_frequent():
    vocabulary = Vocabulary([["b", "a", "b", "c"], ["c", "b", UNKNOWN]], 4)
    assert vocabulary.symbols == (UNKNOWN, END, "b", "c")
    assert vocabulary.numbers(["c", "a", "b", END]) == [3, 0, 2, 1]
    assert Vocabulary([["b", "a"]], 9).symbols == Vocabulary([["a"], ["b"]], 9).symbols


def test_streams_go_on_from_window_to_window(counting: str):
    task = language(counting)
    first, second = task.training_batch(0), task.training_batch(1)
    assert first["symbols"].shape == (4, 5)
    assert torch.equal(first["wanted"][:, :-1], first["symbols"][:, 1:])
    assert torch.equal(second["symbols"][:, 0], first["wanted"][:, -1])
    epoch = task.steps_per_epoch
    assert torch.equal(task.training_batch(epoch)["symbols"], first["symbols"])
    assert [task.begins_anew(n) for n in (0, 1, epoch)] == [True, False, True]


def test_windows_of_a_text_kept_aside_hold_each_word_once(counting: str):
    task = language(counting)
    text = task._texts["validation"]
    pieces = torch.cat([batch["wanted"] for batch in task.batches("validation")], dim=1)
    streams = text[: len(text) // 10 * 10].reshape(10, -1)
    assert pieces.tolist() == streams[:, 1:].tolist()


def test_windows_do_not_change_what_is_found(counting: str):
    task, whole = language(counting), language(counting, unroll=30)
    network = task.make_network().eval()
    found = [summed_totals(t, network, t.batches("test")) for t in (task, whole)]
    torch.testing.assert_close(found[0], found[1])
    assert task.figures(found[0])["perplexity"] == pytest.approx(len(task.vocabulary), rel=0.3)


def test_the_next_word_is_learnt(tmp_path: Path, counting: str):
    found = _trained(tmp_path / "run", counting, options())
    assert found.best is not None and found.best < 2.5  # of 9 words; lines begin with any of 7


def _training(run: RunFolder, data: str, chosen: SequenceOptions) -> Training:
    task = task_of(chosen, 1, (data,))
    return Training(run, task, Learner(task, seed=1), crew=Crew())


def _begun(folder: Path, data: str, chosen: SequenceOptions) -> RunFolder:
    command = TrainOptions(options=chosen, data=(data,))
    return RunFolder.create(folder, kind=KIND, config=config_of(command, hash_of((data,))), seed=1)


def _trained(folder: Path, data: str, chosen: SequenceOptions) -> Any:
    return _training(_begun(folder, data, chosen), data, chosen).carry_on()


class Ending(Exception):
    pass


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_is_remembered_goes_on_too(tmp_path: Path, counting: str, cell: Any):
    chosen = options(steps=16, cell=cell, dropout=0.2)
    _trained(tmp_path / "straight", counting, chosen)
    run = _begun(tmp_path / "broken", counting, chosen)
    part = _training(run, counting, chosen)
    step = part._learner.step

    def one(number: int, batch: Any) -> Any:
        if number == 10:  # the last checkpoint is of 7, in the middle of an epoch
            raise Ending
        return step(number, batch)

    part._learner.step = one  # type: ignore[method-assign]
    with pytest.raises(Ending):
        part.carry_on()
    _training(run, counting, chosen).carry_on()
    states = []
    for name in ("straight", "broken"):
        learner = Learner(language(counting, steps=16, cell=cell))
        place = RunFolder.open(str(tmp_path / name)).find_checkpoint()[0]
        done, carry = load_state(place, learner)
        assert done.step == 16 and len(carry) == (2 if cell == "lstm" else 1)
        states.append((learner.network.state_dict(), carry))
    for name, value in states[0][0].items():
        assert torch.equal(value, states[1][0][name]), name
    assert all(map(torch.equal, states[0][1], states[1][1]))


def test_a_folder_of_three_is_read(tmp_path: Path):
    for word, text in (
        ("train", "a b c\n" * 40),
        ("valid", "a b\n" * 9),
        ("test", "a zebra\n" * 9),
    ):
        written(tmp_path / f"ptb.{word}.txt", text)
    task = language(str(tmp_path))
    assert task.vocabulary.symbols == (UNKNOWN, END, "a", "b", "c")
    assert task._texts["test"].tolist()[:3] == [2, 0, 1]
    written(tmp_path / "other.train.txt", "a\n")
    with pytest.raises(UserError, match="2 files have train in their names"):
        language(str(tmp_path))


def test_brown_is_read(test_data: Path):
    task = language(str(test_data / "text" / "brown.txt"), batch_size=20, unroll=35)
    assert len(task.vocabulary) == 10_000
    assert "1,117,356" in task.describe() and "words to train on" in task.describe()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no text; give a file of lines"),
        (b"\n \n", "holds no text"),
        (b"one\ntwo \xff three\n", r"is not UTF-8 \(byte 8\); convert it"),
        (b"a b\n", "has 1 lines; two are kept aside, give more"),
        (b"a b\n" * 8, "unroll 5: each of batch_size 4 streams has"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(tmp_path: Path, data: bytes, said: str):
    with pytest.raises(UserError, match=said):
        language(written(tmp_path / "text", data))


def test_missing_data_are_told():
    with pytest.raises(UserError, match="data None: language needs a text file"):
        task_of(options(), 1)
    with pytest.raises(UserError, match="/nowhere/text: cannot read: No such file"):
        task_of(options(), 1, ("/nowhere/text",))
    with pytest.raises(UserError, match="unique_integers makes its own; leave --data out"):
        task_of(SequenceOptions(), 1, ("text",))
