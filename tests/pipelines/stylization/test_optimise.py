import dataclasses

import pytest
import torch
from torch import Tensor

from pipelines.stylization.optimise import OptimiserOptions, has_settled, minimise

# A bowl of very different curvatures, with its lowest point at 100.
_CURVATURE = torch.logspace(-3, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)


def _bowl(image: Tensor) -> Tensor:
    loss = (_CURVATURE * (image - 100).square()).sum()
    loss.backward()
    return loss


@pytest.mark.parametrize(
    "options", [OptimiserOptions(), OptimiserOptions(name="adam", learning_rate=10)]
)
def test_the_lowest_point_is_found(options):
    start = torch.zeros(1, 3, 8, 8)
    found = minimise(_bowl, start, 400, dataclasses.replace(options, stop_change=0))
    assert found.iterations == len(found.losses) == 400
    assert found.losses[-1] < 1e-3 * found.losses[0]
    assert not start.any()


def test_lbfgs_goes_on_past_torch_s_absolute_tolerances():
    # So flat that the change of the loss is below 1e-9 from the start.
    def flat(image: Tensor) -> Tensor:
        loss = 1e-9 * (_CURVATURE * (image - 100).square()).sum()
        loss.backward()
        return loss

    found = minimise(flat, torch.zeros(1, 3, 8, 8), 60, OptimiserOptions(stop_change=0))
    assert found.iterations == 60


def test_chunks_do_not_change_what_lbfgs_does():
    start = torch.zeros(1, 3, 8, 8)
    images = [
        minimise(_bowl, start, 60, OptimiserOptions(stop_window=window, stop_change=0)).image
        for window in (7, 20, 60)
    ]
    for image in images[1:]:
        assert torch.equal(image, images[0])


def test_a_search_ends_when_the_loss_has_settled_over_a_window():
    found = minimise(
        _bowl, torch.zeros(1, 3, 8, 8), 10_000, OptimiserOptions(stop_window=50, stop_change=0.5)
    )
    assert found.iterations < 10_000
    assert found.iterations % 50 == 0


@pytest.mark.parametrize(
    ("losses", "settled"),
    [
        ([1.0] * 50, False),  # no value of 50 iterations ago yet
        ([1.0] * 51, True),
        ([1.0] + [0.9998] * 50, False),
        ([1.0] + [0.99995] * 50, True),
        ([5.0, 1.0] + [0.99995] * 50, True),
    ],
)
def test_settled_is_relative_to_the_loss_fifty_iterations_ago(losses, settled):
    assert has_settled(losses, OptimiserOptions()) is settled


def test_a_search_that_diverges_gives_the_best_picture():
    calls, images = [], []

    def breaks(image: Tensor) -> Tensor:
        calls.append(None)
        loss = _bowl(image)
        images.append((float(loss.detach()), image.detach().clone()))
        return loss * float("nan") if len(calls) > 25 else loss

    options = OptimiserOptions(stop_window=10, stop_change=0)
    found = minimise(breaks, torch.zeros(1, 3, 8, 8), 100, options)
    assert found.diverged and found.iterations == 30
    assert torch.equal(found.image, min(images[:25], key=lambda pair: pair[0])[1])


@pytest.mark.parametrize("leaps_at", [15, 25, 40])  # inside a window, and after the last step
def test_a_leap_to_a_huge_loss_is_undone(leaps_at):
    calls, images = [], []

    def leaps(image: Tensor) -> Tensor:
        calls.append(None)
        loss = _bowl(image)
        images.append((float(loss.detach()), image.detach().clone()))
        return 1e6 * loss if len(calls) > leaps_at else loss

    options = OptimiserOptions(stop_window=10, stop_change=0)
    found = minimise(leaps, torch.zeros(1, 3, 8, 8), 40, options)
    assert found.diverged
    assert torch.equal(found.image, min(images[:leaps_at], key=lambda pair: pair[0])[1])


def test_a_start_that_cannot_be_bettered_stays():
    start = torch.full((1, 3, 8, 8), 100.0)
    found = minimise(_bowl, start, 60, OptimiserOptions(stop_change=0))
    assert torch.equal(found.image, start) and not found.diverged


def test_the_last_loss_computed_is_that_of_the_picture_found():
    latest = []

    def seen(image: Tensor) -> Tensor:
        latest[:] = [image.detach().clone()]
        return _bowl(image)

    found = minimise(seen, torch.zeros(1, 3, 8, 8), 30, OptimiserOptions())
    assert torch.equal(latest[0], found.image)


def test_what_the_check_raises_ends_the_search():
    seen = []

    def check(iteration: int) -> None:
        seen.append(iteration)
        if iteration == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimise(_bowl, torch.zeros(1, 3, 8, 8), 100, OptimiserOptions(), check)
    assert seen == list(range(13))
