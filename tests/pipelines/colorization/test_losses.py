"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.colorization.losses import ALPHA, class_loss, color_loss, total


def test_colours_differ_by_the_mean_square_over_channels_and_positions():
    predicted = torch.zeros(2, 2, 1, 2)
    target = torch.tensor(
        [
            [[[0.1, 0.2]], [[0.3, 0.4]]],  # (0.01 + 0.04 + 0.09 + 0.16) / 4
            [[[1.0, 0.0]], [[0.0, 0.0]]],
        ]
    )
    torch.testing.assert_close(color_loss(predicted, target), torch.tensor([0.075, 0.25]))


def test_the_target_is_averaged_over_areas():
    target = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]).expand(1, 2, 2, 4)
    # Means of the two squares: 1/2 and 3/4.
    torch.testing.assert_close(
        color_loss(torch.tensor([0.5, 0.75]).expand(1, 2, 1, 2), target), torch.zeros(1)
    )
    found = color_loss(torch.tensor([0.25, 0.25]).expand(1, 2, 1, 2), target)
    torch.testing.assert_close(found, torch.tensor([(1 / 16 + 1 / 4) / 2]))


def test_a_repeated_picture_costs_the_same_and_none_knows_of_another():
    predicted, target = torch.rand(3, 2, 4, 6), torch.rand(3, 2, 8, 12)
    loss = color_loss(predicted, target)
    torch.testing.assert_close(
        color_loss(predicted.repeat(1, 1, 2, 1), target.repeat(1, 1, 2, 1)), loss
    )
    torch.testing.assert_close(color_loss(predicted.flip(0), target.flip(0)), loss.flip(0))


def test_half_precision_is_summed_in_single():
    predicted, target = torch.rand(1, 2, 64, 64), torch.rand(1, 2, 64, 64)
    loss = color_loss(predicted.bfloat16(), target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, color_loss(predicted, target), rtol=5e-3, atol=0)


def test_shapes_that_would_broadcast_are_refused():
    for predicted, target in [
        (torch.zeros(2, 2, 4, 4), torch.zeros(1, 2, 8, 8)),
        (torch.zeros(2, 2, 4, 4), torch.zeros(2, 3, 8, 8)),
        (torch.zeros(2, 2, 4, 4), torch.zeros(2, 2, 8, 6)),
        (torch.zeros(2, 2, 4, 4), torch.zeros(2, 2, 2, 4)),
    ]:
        with pytest.raises(ValueError, match="want"):
            color_loss(predicted, target)


def test_classes_cost_their_surprise_and_nothing_without_a_label():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [9.0, -9.0]], requires_grad=True)
    loss = class_loss(logits, torch.tensor([1, 0, -1]))
    torch.testing.assert_close(loss, torch.tensor([math.log(2), math.log(4 / 3), 0.0]))
    loss.sum().backward()
    wanted = torch.tensor([[0.5, -0.5], [-0.25, 0.25], [0.0, 0.0]])
    torch.testing.assert_close(logits.grad, wanted)


def test_a_batch_without_any_label_has_a_gradient_of_zeros():
    logits = torch.rand(2, 5, requires_grad=True)
    class_loss(logits, torch.tensor([-1, -1])).mean().backward()
    assert logits.grad is not None and not logits.grad.any()


def test_the_total_counts_classes_a_three_hundredth():
    colors, classes = torch.tensor([0.01, 0.02]), torch.tensor([3.0, 0.0])
    assert pytest.approx(0.01 / 3) == ALPHA
    torch.testing.assert_close(total(colors, classes), torch.tensor([0.02, 0.02]))
    torch.testing.assert_close(total(colors, classes, alpha=0.1), torch.tensor([0.31, 0.02]))
    assert total(colors, None) is colors
