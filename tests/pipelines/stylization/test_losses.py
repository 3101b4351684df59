import pytest
import torch

from pipelines.stylization.losses import (
    content_loss,
    gram,
    gram_sum,
    long_term_weights,
    style_loss,
    temporal_loss,
    total_variation_loss,
)


def test_content_loss_is_the_mean_squared_difference():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [3.0, 0.0]]], [[[0.0, 2.0], [0.0, 0.0]]]])
    torch.testing.assert_close(content_loss(features, target), torch.tensor([5.0, 1.0]))


def test_gram_is_divided_by_channels_times_positions():
    features = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])  # 2 channels, 1 row, 2 columns
    # Channel by channel: 1+4, 3-2, 9+1; over 2 * 1 * 2.
    torch.testing.assert_close(gram(features), torch.tensor([[5.0, 1.0], [1.0, 10.0]]) / 4)


def test_a_weight_of_zero_leaves_a_position_out_of_the_gram_matrix():
    features = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])
    weighted = gram(features, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(weighted, torch.tensor([[1.0, 3.0], [3.0, 9.0]]) / 2)
    torch.testing.assert_close(gram(features, torch.ones(1, 2)), gram(features))
    assert not gram(features, torch.zeros(1, 2)).any()


def test_gram_of_halves_adds_up_to_that_of_the_whole():
    features = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    parts = gram_sum(features[..., :2]) + gram_sum(features[..., 2:])
    torch.testing.assert_close(parts / (5 * 4 * 6), gram(features))


def test_gram_of_half_precision_features_is_computed_in_full():
    # In float16 the sum of 300² over 64 positions overflows.
    features = torch.full((1, 2, 8, 8), 300.0, dtype=torch.float16)
    assert gram(features).dtype == torch.float32
    torch.testing.assert_close(gram(features), torch.full((1, 2, 2), 300.0**2 / 2))


def test_style_loss_is_the_mean_over_pairs_of_channels():
    a, b = torch.tensor([[1.0, 2.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    torch.testing.assert_close(style_loss(a, b), torch.tensor((0 + 4 + 4 + 16) / 4))


def test_temporal_loss_is_a_mean_over_all_pixels_masked_ones_too():
    image = torch.zeros(3, 1, 2)
    warped = torch.tensor([[[1.0, 10.0]], [[2.0, 10.0]], [[3.0, 10.0]]])
    mask = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(temporal_loss(image, warped, mask), torch.tensor(14 / 6))
    half = temporal_loss(image, warped, torch.tensor([[0.5, 0.0]]))
    torch.testing.assert_close(half, torch.tensor(7 / 6))


def test_temporal_loss_gives_one_value_a_picture():
    image, warped = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    mask = torch.stack([torch.ones(4, 5), torch.zeros(4, 5)])
    torch.testing.assert_close(temporal_loss(image, warped, mask), torch.tensor([1.0, 0.0]))


def test_temporal_loss_has_no_gradient_where_the_mask_is_zero():
    image = torch.randn(1, 3, 4, 4).requires_grad_(True)
    mask = torch.zeros(1, 4, 4)
    mask[:, 1, 2] = 1
    temporal_loss(image, torch.zeros(1, 3, 4, 4), mask).sum().backward()
    assert image.grad is not None
    assert image.grad[..., 1, 2].all()
    assert torch.count_nonzero(image.grad) == 3


def test_long_term_weights_count_what_no_nearer_frame_sees():
    # Columns: seen by all; by j = 2 and 4; by 4 alone; by nobody; half by 1, wholly by 2.
    near = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.5]])
    middle = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]])
    far = torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0]])
    expected = [
        torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.5]]),
        torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.5]]),
        # The paper's rule: 1 - (0.5 + 1) is below 0.
        torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]),
    ]
    for weight, wanted in zip(long_term_weights([near, middle, far]), expected, strict=True):
        torch.testing.assert_close(weight, wanted)


def test_long_term_weights_of_hard_masks_never_add_up_to_more_than_one():
    masks = [m.round() for m in torch.rand(4, 6, 7, generator=torch.Generator().manual_seed(1))]
    total = torch.stack(long_term_weights(masks)).sum(0)
    torch.testing.assert_close(total, torch.stack(masks).max(0).values)
    assert long_term_weights([]) == []


def test_total_variation_is_the_mean_step_between_neighbours():
    image = torch.tensor([[[0.0, 2.0], [4.0, 2.0]]])
    # Along columns |4 - 0|, |2 - 2|, along rows |2 - 0|, |2 - 4|.
    torch.testing.assert_close(total_variation_loss(image), torch.tensor(2.0 + 2.0))
    assert total_variation_loss(torch.zeros(2, 3, 4, 4)).shape == (2,)


@pytest.mark.parametrize("loss", [content_loss, style_loss])
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(2, 3, 1, 4\) .* \(2, 3, 4, 4\): want equal shapes"):
        loss(torch.zeros(2, 3, 1, 4), torch.zeros(2, 3, 4, 4))


def test_temporal_loss_refuses_a_mask_of_another_size():
    with pytest.raises(ValueError, match="mask"):
        temporal_loss(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), torch.ones(2, 2))
