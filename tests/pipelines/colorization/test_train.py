"""A worker's part of a training, in this process: its order, checkpoints, and going on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from arcadia.crew import Crew
from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.colorization import ColorizerOptions, NetworkOptions, load_colorizer
from pipelines.colorization.checkpoints import COLORIZER, done_of
from pipelines.colorization.data import shares
from pipelines.colorization.learner import Learner
from pipelines.colorization.train import Training
from pipelines.places import PreparedData
from tests.disks import fill


def options(**overrides: Any) -> ColorizerOptions:
    values: dict[str, Any] = dict(
        network=NetworkOptions(width=0.05, image_size=32),
        batch_size=16,
        steps=12,
        validation_fraction=0.2,
        validation_period=6,
        checkpoint_period=4,
        optimizer="adam",
    )
    return ColorizerOptions(**values | overrides)


@pytest.fixture
def begin(tmp_path: Path, ready: Path) -> Callable[..., Training]:
    """A training of a run's folder, made anew as another process would."""

    def make(run: str | Path, own: ColorizerOptions, **more: Any) -> Training:
        folder = tmp_path / run
        if RunFolder.is_run(folder):
            opened = RunFolder.open(folder)
        else:
            opened = RunFolder.create(folder, kind="colorizer", config={}, seed=1)
        data = PreparedData.open(str(ready))
        training, validation = shares(data, None, own.validation_fraction, 1)
        learner = Learner(len(data.classes), own, seed=1)
        return Training(
            opened, training, validation, own, learner, crew=Crew(), seed=1, num_streams=4, **more
        )

    return make


def state(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of the last checkpoint."""
    last = RunFolder.open(folder).find_checkpoint()[0]
    files = [load_file(file) for file in sorted(last.glob("*.safetensors"))]
    return {f"{i}/{name}": value for i, file in enumerate(files) for name, value in file.items()}


def check_same(one: Path, other: Path) -> None:
    states = [state(one), state(other)]
    assert states[0].keys() == states[1].keys() and len(states[0]) > 100
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, name)


def test_a_training_writes_checkpoints_figures_and_pictures(begin, tmp_path):
    seen = []
    done = begin("run", options(), on_validation=lambda *told: seen.append(told)).carry_on()
    # 13 row groups, of which 3 are kept aside: 10 x 8 pictures or a little fewer, 16 a batch.
    assert done.step == 12 and done.position.epoch >= 2 and done.num_streams == 4
    run = RunFolder.open(tmp_path / "run")
    assert run.checkpoints() == [8, 12]
    assert run.checkpoints("best")[-1] in (6, 12)
    assert done_of(run) == done and done.seconds > 0
    assert [step for step, _ in seen] == [6, 12]
    assert done.best == min(figures["ab_mse"] for _, figures in seen)
    history = read_scalars(run)
    assert history["train/loss"][0].tolist() == [10, 12]
    assert history["validation/ab_mse"][0].tolist() == [6, 12]
    assert {"validation/top1", "validation/psnr", "train/images_per_s"} <= set(history)
    assert run.storage.list("pictures") == ["pictures/000000006.png", "pictures/000000012.png"]
    network = load_colorizer(run.find_checkpoint()[0] / COLORIZER, num_classes=2)
    assert network.options == options().network


@pytest.mark.parametrize("stops", [[4], [3, 7, 8]])
def test_a_training_that_goes_on_in_mid_epoch_is_the_straight_one(begin, tmp_path, stops):
    begin("straight", options(ema_decay=0.9)).carry_on()
    for steps in [*stops, 12]:
        begin("stopped", options(ema_decay=0.9, steps=steps)).carry_on()
    check_same(tmp_path / "stopped", tmp_path / "straight")
    runs = [RunFolder.open(tmp_path / name) for name in ("straight", "stopped")]
    done = [dataclasses.replace(done_of(run), seconds=0, best=None) for run in runs]
    assert done[0] == done[1]


@pytest.mark.parametrize("leave_bytes", [0, 400_000])  # a checkpoint is of 700 kB
def test_a_full_disk_ends_it_and_the_last_checkpoint_stays_good(
    begin, tmp_path, make_disk, leave_bytes: int
):
    own = options(validation_period=12)
    begin("straight", own).carry_on()
    disk = make_disk("64m")
    training = begin(disk / "run", own)
    step = training._learner.step
    steps = []

    def one(*batch: Any) -> Any:
        if len(steps) == 5:
            fill(disk, leave_bytes)
        steps.append(1)
        return step(*batch)

    training._learner.step = one
    full = "run/checkpoints/000000008: cannot write: No space left on device"
    with pytest.raises(UserError, match=full):
        training.carry_on()
    run = RunFolder.open(disk / "run")
    assert run.checkpoints() == [4] and load_colorizer(run.find_checkpoint()[0] / COLORIZER)
    assert not list(disk.rglob(".*tmp*"))
    (disk / "ballast").unlink()
    assert begin(disk / "run", own).carry_on().step == 12
    check_same(disk / "run", tmp_path / "straight")


def test_what_was_done_after_the_last_checkpoint_is_done_again(begin, tmp_path):
    class Killed(BaseException):
        pass

    def kill(step: int, figures: dict[str, float]) -> None:
        raise Killed

    begin("straight", options()).carry_on()
    with pytest.raises(Killed):
        begin("killed", options(), on_validation=kill).carry_on()  # at step 6; saved at 4
    assert done_of(RunFolder.open(tmp_path / "killed")).step == 4
    begin("killed", options()).carry_on()
    check_same(tmp_path / "killed", tmp_path / "straight")


def test_no_row_is_missed_or_repeated_in_an_epoch_by_going_on(begin, monkeypatch):
    seen: list[bytes] = []
    step = Learner.step

    def watched(self, images, labels):
        seen.append(labels.tobytes() + images.tobytes())
        return step(self, images, labels)

    monkeypatch.setattr(Learner, "step", watched)
    begin("straight", options(steps=7)).carry_on()
    straight = list(seen)
    seen.clear()
    for steps in (2, 3, 7):
        begin("stopped", options(steps=steps)).carry_on()
    assert seen == straight and len(seen) == len(set(seen)) == 7


def test_colours_and_classes_are_learnt(begin, tmp_path):
    found = []
    own = options(
        network=NetworkOptions(width=0.1, image_size=32),
        steps=150,
        validation_period=75,
        checkpoint_period=150,
        alpha=0.01,
    )
    begin("run", own, on_validation=lambda _, figures: found.append(figures)).carry_on()
    assert found[-1]["top1"] > 0.9
    # Grey is off by more than 2,000 in these colours.
    assert found[-1]["ab_mse"] < 600


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_row_groups_kept_aside_are_not_trained_on(ready, fraction):
    data = PreparedData.open(str(ready))
    training, validation = shares(data, None, fraction, 1)
    kept = set(validation.groups) if validation else set()
    assert not kept & set(training.groups)
    assert kept | set(training.groups) == set(data.row_groups())
    assert len(kept) == round(fraction * len(data.row_groups()))


def test_workers_share_what_is_judged(ready):
    data = PreparedData.open(str(ready))
    share, _ = shares(data, None, 0.0, 1)
    whole = [labels for _, labels in share.centred_batches(32, 30)]
    assert sum(map(len, whole)) == 30
    parts = [
        [labels for _, labels in share.centred_batches(32, 30, worker=w, num_workers=3)]
        for w in range(3)
    ]
    assert sum(len(labels) for part in parts for labels in part) == 30
    np.testing.assert_array_equal(parts[1][0], whole[1])
    images, _ = next(share.centred_batches(24, 5))
    assert images.shape == (5, 24, 24, 3) and images.dtype == np.uint8


def test_pictures_come_in_batches_of_one_size(ready):
    data = PreparedData.open(str(ready))
    share, _ = shares(data, None, 0, 0)
    assert [len(images) for images in share.chunks(32, 50, 16)] == [16, 16, 16]
    assert [len(images) for images in share.chunks(32, 5, 16)] == [5]
    whole = np.concatenate([images for images, _ in share.centred_batches(32, 48)])
    np.testing.assert_array_equal(np.concatenate(list(share.chunks(32, 48, 16))), whole)
