"""Small pictures and their classes: MNIST's files and Parquet."""

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arcadia.errors import UserError
from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.learner import Learner
from pipelines.sequences.tasks import images as images_module
from pipelines.sequences.tasks.images import Images


def images(place: Path, **more: Any) -> Images:
    values: dict[str, Any] = dict(
        task="images", hidden_size=32, batch_size=20, steps=150, activation="nan"
    )
    task = task_of(SequenceOptions(**(values | more)), 1, (str(place),))
    assert isinstance(task, Images)
    return task


def idx(array: np.ndarray) -> bytes:
    shape = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Bright columns: the class is where."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 240), ("t10k", 40)):
        labels = rng.integers(0, 4, number)
        pictures = rng.integers(0, 90, (number, 8, 8))
        for picture, label in zip(pictures, labels, strict=True):
            picture[:, 2 * label] += 120
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(pictures))
        (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def parquet(path: Path, labels: Any, **columns: Any) -> Path:
    pictures = []
    for label in labels:
        picture = np.zeros((10, 12, 3), np.uint8)
        picture[..., "abc".index(label)] = 200
        pictures.append(cv2.imencode(".png", picture)[1].tobytes())
    table = {"image": pictures, "label": list(labels)} | columns
    pq.write_table(pa.table(table), path)
    return path


def test_mnist_is_read(mnist: Path):
    task = images(mnist)
    sizes = {name: some.pixels.shape for name, some in task._splits.items()}
    assert sizes == {"train": (220, 64), "validation": (20, 64), "test": (40, 64)}
    batch = task.training_batch(3)
    assert batch["pixels"].shape == (20, 64) and batch["labels"].max() <= 3


@pytest.mark.parametrize("activation", ["nan", "nani", "nanis", "nanil", "hard"])
def test_classes_are_learnt(mnist: Path, activation: str):
    task = images(mnist, activation=activation)
    learner = Learner(task, seed=1)
    for step in range(150):
        learner.step(step, task.training_batch(step))
    assert task.figures(learner.totals(task.batches("test")))["error"] < 0.1


def test_an_epoch_holds_each_picture_once(mnist: Path):
    task = images(mnist)
    seen = np.concatenate([task.training_batch(s)["pixels"].numpy() for s in range(11)])
    assert len(np.unique(seen, axis=0)) == 220


def test_parquet_is_read(tmp_path: Path):
    task = images(parquet(tmp_path / "some.parquet", "abc" * 20), picture_size=4, batch_size=5)
    assert task._num_classes == 3
    some = task._splits["train"]
    assert some.pixels.shape == (54, 48)
    for row, label in zip(some.pixels.reshape(-1, 4, 4, 3), some.labels, strict=True):
        assert row[0, 0].argmax() == label


def test_cifar_is_read(test_data: Path):
    task = images(test_data / "photos" / "cifar10_train_10k.parquet")
    assert task._splits["train"].pixels.shape == (9000, 3072) and task._num_classes == 10


def test_what_cannot_be_used_is_refused(tmp_path: Path, mnist: Path):
    file = mnist / "train-images-idx3-ubyte"
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(UserError, match="is not MNIST's format, or damaged"):
        images(mnist)
    file.write_bytes(whole)
    (mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match=r"has no t10k-labels\*; MNIST is four files"):
        images(mnist)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no Parquet; give MNIST's folder"):
        images(tmp_path / "empty")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"picture": [b"x"]}), other)
    with pytest.raises(UserError, match="no Parquet with columns image and label"):
        images(other)
    other.write_bytes(b"nothing")
    with pytest.raises(UserError, match="no Parquet with columns image and label"):
        images(other)
    pq.write_table(pa.table({"image": [b""] * 9, "label": [1] * 9}), other)
    with pytest.raises(UserError, match="row 0 is no picture"):
        images(other)
    with pytest.raises(UserError, match="fewer than batch_size 20"):
        images(parquet(tmp_path / "few.parquet", "abc"))


def test_little_that_unpacks_to_much_is_read_no_further_than_it_says(tmp_path: Path, mnist: Path):
    file = mnist / "train-images-idx3-ubyte"
    head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4) for n in (240, 4, 4))
    with gzip.open(file, "wb", compresslevel=1) as packed:
        packed.write(head + bytes(240 * 16))
        for _ in range(64):
            packed.write(bytes(1 << 22))
    tracemalloc.start()
    with pytest.raises(UserError, match="is not MNIST's format, or damaged"):
        images(mnist)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_rows_without_a_label_are_left_out(tmp_path: Path, monkeypatch):
    place = tmp_path / "parts"
    place.mkdir()
    for number in range(3):
        file = parquet(place / f"{number}.parquet", "abc" * 10)
        labels = pa.array([0, 1, -1] * 10, pa.int64())
        pq.write_table(pq.read_table(file).set_column(1, "label", labels), file)
    task = images(place, picture_size=4, batch_size=5)
    assert task._num_classes == 2
    assert sum(len(split.labels) for split in task._splits.values()) == 60
    monkeypatch.setattr(images_module, "_MOST", 25)
    task = images(place, picture_size=4, batch_size=5)
    assert sum(len(split.labels) for split in task._splits.values()) == 25
