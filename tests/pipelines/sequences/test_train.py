"""A worker's part of a training, in this process."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from algorithms.noisy import noisy_parts
from arcadia.crew import Crew
from arcadia.errors import UserError
from arcadia.runs import RunFolder
from arcadia.telemetry import read_scalars
from pipelines.sequences import SequenceOptions, task_of
from pipelines.sequences.checkpoints import done_of
from pipelines.sequences.job import KIND, TrainOptions, config_of
from pipelines.sequences.learner import Learner
from pipelines.sequences.train import Training
from tests.disks import fill


def options(**more: Any) -> SequenceOptions:
    values: dict[str, Any] = dict(
        hidden_size=16,
        max_length=5,
        max_value=3,
        steps=20,
        batch_size=12,
        anneal="30:0.5",
        validation_examples=60,
        validation_period=8,
        checkpoint_period=5,
        learning_rate=0.01,
    )
    return SequenceOptions(**(values | more))


def begun(folder: Path, chosen: SequenceOptions, seed: int = 1) -> RunFolder:
    config = config_of(TrainOptions(options=chosen), "")
    return RunFolder.create(folder, kind=KIND, config=config, seed=seed)


def training(run: RunFolder, chosen: SequenceOptions, seed: int = 1, **more: Any) -> Training:
    task = task_of(chosen, seed)
    return Training(run, task, Learner(task, seed=seed), crew=Crew(), **more)


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.find_checkpoint()[0] / "network.safetensors")


class Ending(Exception):
    pass


@pytest.mark.parametrize("stops", [(10,), (5, 13)])
def test_a_training_that_goes_on_is_the_straight_one(tmp_path: Path, stops: tuple[int, ...]):
    chosen = options()
    straight = begun(tmp_path / "straight", chosen)
    training(straight, chosen).carry_on()
    broken = begun(tmp_path / "broken", chosen)
    for stop in stops:
        part = training(broken, chosen)
        step = part._learner.step

        def one(number: int, batch: Any, stop: int = stop, step: Any = step) -> Any:
            if number == stop:
                raise Ending
            return step(number, batch)

        part._learner.step = one  # type: ignore[method-assign]
        with pytest.raises(Ending):
            part.carry_on()
    assert training(broken, chosen).carry_on().step == 20
    wanted, found = weights(straight), weights(broken)
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[n], found[n]) for n in wanted)
    curves, again = read_scalars(straight), read_scalars(broken)
    for name in ("train/loss", "train/noise_c", "validation/error"):
        assert curves[name][0].tolist() == again[name][0].tolist()
        assert np.array_equal(curves[name][1], again[name][1])


@pytest.mark.parametrize(
    ("leave_bytes", "periods", "place"),
    [
        (0, (5, 20), "checkpoints/000000010"),
        (20_000, (5, 20), "checkpoints/000000010"),  # its first file has room, the next has not
        (0, (5, 8), "best/000000008"),
        (0, (400, 2_000), "tensorboard"),  # curves of some hundred steps come first
    ],
)
def test_a_full_disk_ends_it_and_the_last_checkpoint_stays_good(
    tmp_path: Path, make_disk, leave_bytes: int, periods: tuple[int, int], place: str
):
    checkpoint_period, validation_period = periods
    steps = max(20, 2 * checkpoint_period)
    chosen = options(
        checkpoint_period=checkpoint_period,
        validation_period=validation_period,
        steps=steps,
        anneal=None,
    )
    straight = begun(tmp_path / "straight", chosen)
    training(straight, chosen).carry_on()
    disk = make_disk("16m")
    run = begun(disk / "run", chosen)
    part = training(run, chosen)
    step = part._learner.step

    def one(number: int, batch: Any) -> Any:
        if number == checkpoint_period + 1:
            fill(disk, leave_bytes)
        return step(number, batch)

    part._learner.step = one  # type: ignore[method-assign]
    full = f"run/{place}: cannot write: No space left on device; free some space there"
    with pytest.raises(UserError, match=full):
        part.carry_on()
    assert run.checkpoints() == [checkpoint_period] and weights(run)
    assert not list(disk.rglob(".*tmp*"))
    (disk / "ballast").unlink()
    assert training(run, chosen).carry_on().step == steps
    wanted, found = weights(straight), weights(run)
    assert wanted.keys() == found.keys() and all(torch.equal(wanted[n], found[n]) for n in wanted)
    curves, again = read_scalars(straight), read_scalars(run)
    assert np.array_equal(curves["train/loss"][1], again["train/loss"][1])


def test_noise_falls_as_the_schedule_says(tmp_path: Path):
    chosen = options(anneal_updates=10)
    run = begun(tmp_path / "run", chosen)
    part = training(run, chosen)
    part.carry_on()
    assert all(m.c.item() == 0.5 for m in noisy_parts(part._learner.network))
    kept = weights(run)
    assert {v.item() for n, v in kept.items() if n.endswith(".c")} == {0.5}
    steps, values = read_scalars(run)["train/noise_c"]
    assert steps.tolist() == [10, 20] and values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("activation", ["hard", "nan", "nah"])
def test_counting_is_learnt(tmp_path: Path, activation: str):
    chosen = options(
        activation=activation,
        anneal=None,
        steps=500,
        batch_size=32,
        validation_period=500,
        checkpoint_period=500,
    )
    found: list[dict[str, float]] = []
    run = begun(tmp_path / "run", chosen)
    training(run, chosen, on_validation=lambda step, figures: found.append(figures)).carry_on()
    assert found[-1]["error"] < 0.25  # always 2 is wrong in more than half
    assert done_of(run).best == found[-1]["error"]


def test_a_loss_that_is_no_number_ends_it_before_a_checkpoint_holds_it(tmp_path: Path):
    chosen = options(optimizer="sgd", learning_rate=1e3, max_gradient_norm=1e9, anneal=None)
    chosen = dataclasses.replace(chosen, checkpoint_period=7, validation_period=20)
    run = begun(tmp_path / "run", chosen)
    part = training(run, chosen)
    with torch.no_grad():
        part._learner.network.answer.weight.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(FloatingPointError, match="the loss is nan after 7 steps: lower"):
        part.carry_on()
    assert run.checkpoints() == []


def test_the_learning_rate_falls():
    chosen = options(lr_schedule="cosine", steps=4)
    task = task_of(chosen, 0)
    learner = Learner(task)
    rates = []
    for step in range(4):
        learner.step(step, task.training_batch(step))
        rates.append(learner._optimiser.param_groups[0]["lr"] / 0.01)
    assert rates == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)


def test_state_goes_around():
    chosen = options()
    task = task_of(chosen, 0)
    one, other = Learner(task), Learner(task, seed=9)
    one.step(0, task.training_batch(0))
    other.load_state(one.state())
    for step in (1, 2):
        one.step(step, task.training_batch(step))
        other._seed = one._seed
        other.step(step, task.training_batch(step))
    for (name, a), (_, b) in zip(
        one.network.state_dict().items(), other.network.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def test_options_of_another_version_are_refused():
    from pipelines.sequences.config import options_from

    values = dataclasses.asdict(options())
    assert options_from(values) == options()
    assert options_from(dataclasses.asdict(options().resolved())) == options().resolved()
    with pytest.raises(UserError, match="options colour: this version does not know them"):
        options_from(values | {"colour": 1})
