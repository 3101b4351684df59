import copy

import numpy as np
import pytest
import torch

from pipelines.colorization.config import NetworkOptions
from pipelines.colorization.learner import Learner
from pipelines.colorization.options import ColorizerOptions
from pipelines.colorization.spaces import split

NETWORK = NetworkOptions(width=0.05, image_size=32)


def make(num_classes: int = 3, **overrides) -> Learner:
    return Learner(num_classes, ColorizerOptions(network=NETWORK, **overrides), seed=1)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    images[:4, :, :, 2] = 0  # of one class: without blue
    return images, np.array([0, 0, 0, 0, 1, 1, 1, -1])


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return copy.deepcopy(learner.network.state_dict())


@pytest.mark.parametrize("optimizer", ["adadelta", "adam", "sgd"])
def test_steps_lower_both_losses(batch, optimizer):
    learner = make(optimizer=optimizer, alpha=0.1)
    losses = [learner.step(*batch) for _ in range(40)]
    assert float(losses[-1].color) < 0.8 * float(losses[0].color)
    assert float(losses[-1].classes) < 0.5 * float(losses[0].classes)
    total = float(losses[0].color) + 0.1 * float(losses[0].classes)
    assert float(losses[0].total) == pytest.approx(total, rel=1e-5)


def test_going_on_from_a_state_equals_going_straight_on(batch):
    straight = make(ema_decay=0.5)
    for _ in range(3):
        straight.step(*batch)
    other = make(ema_decay=0.5)
    other.load_state(straight.state())
    for learner in (straight, other):
        for _ in range(3):
            learner.step(*batch)
    for name, value in weights(straight).items():
        assert torch.equal(weights(other)[name], value), name


def test_the_mean_of_the_weights_is_lent_and_the_weights_come_back(batch):
    learner = make(ema_decay=0.5)
    start = weights(learner)["fusion.linear.weight"]
    learner.step(*batch)
    own = weights(learner)["fusion.linear.weight"]
    with learner.evaluating() as network:
        assert not network.training
        lent = network.state_dict()["fusion.linear.weight"].clone()
    # The first of the decays that grow to 0.5 is 2 / 11.
    torch.testing.assert_close(lent, (2 * start + 9 * own) / 11)
    assert torch.equal(weights(learner)["fusion.linear.weight"], own)
    assert learner.network.training


def test_the_mean_of_the_weights_has_statistics_of_its_own(batch):
    learner = make(ema_decay=0.9, optimizer="adam", learning_rate=0.01)
    for _ in range(20):
        learner.step(*batch)
    own = weights(learner)
    images, _ = batch
    learner.settle_mean([images[:4], images[4:]])
    with learner.evaluating() as network:
        state = copy.deepcopy(network.state_dict())
        lightness = split(learner.pictures(images), "lab")[0]
        seen = network.low_level[0].linear(lightness)
    name = "low_level.0.normalisation"
    torch.testing.assert_close(state[f"{name}.running_mean"], seen.mean((0, 2, 3)))
    halves = [seen[:4].transpose(0, 1), seen[4:].transpose(0, 1)]
    variance = sum(half.flatten(1).var(1) for half in halves) / 2
    torch.testing.assert_close(state[f"{name}.running_var"], variance)
    assert not torch.equal(state[f"{name}.running_var"], own[f"{name}.running_var"])
    for key, value in weights(learner).items():  # nothing else has changed
        assert torch.equal(value, own[key]), key


def test_frozen_batch_normalisation_keeps_its_statistics(batch):
    for frozen in (False, True):
        learner = make(freeze_batch_norm=frozen)
        before = weights(learner)
        learner.step(*batch)
        with learner.evaluating():
            pass
        learner.step(*batch)
        name = "low_level.0.normalisation.running_mean"
        assert torch.equal(weights(learner)[name], before[name]) is frozen


def test_pictures_without_a_label_do_not_train_the_classifier(batch):
    images, labels = batch
    learner = make(optimizer="sgd")
    before = weights(learner)
    losses = learner.step(images, np.full_like(labels, -1))
    assert float(losses.classes) == 0
    name = "classifier.1.weight"
    assert torch.equal(weights(learner)[name], before[name])
    assert not torch.equal(weights(learner)["fusion.linear.weight"], before["fusion.linear.weight"])


def test_without_classes_only_colours_are_learnt(batch):
    learner = make(num_classes=0)
    losses = learner.step(*batch)
    assert torch.equal(losses.total, losses.color)


def test_the_seed_decides_the_first_weights():
    assert torch.equal(
        weights(make())["fusion.linear.weight"], weights(make())["fusion.linear.weight"]
    )
    other = Learner(3, ColorizerOptions(network=NETWORK), seed=2)
    assert not torch.equal(
        weights(other)["fusion.linear.weight"], weights(make())["fusion.linear.weight"]
    )
