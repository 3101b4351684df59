from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.flow import inside, warp

ROW = torch.tensor([[[10.0, 20.0, 40.0, 80.0]]])


def moved(dx: float, dy: float, height: int, width: int) -> torch.Tensor:
    return torch.tensor([dx, dy]).reshape(2, 1, 1).expand(2, height, width)


@pytest.mark.parametrize(
    ("dx", "expected"),
    [
        (0.0, [10.0, 20.0, 40.0, 80.0]),
        (1.0, [20.0, 40.0, 80.0, 80.0]),  # the last one is repeated
        (-1.0, [10.0, 10.0, 20.0, 40.0]),
        (0.5, [15.0, 30.0, 60.0, 80.0]),
        (-0.25, [10.0, 17.5, 35.0, 70.0]),
        (99.0, [80.0, 80.0, 80.0, 80.0]),
    ],
)
def test_a_row_moves_by_hand(dx: float, expected: list[float]):
    torch.testing.assert_close(warp(ROW, moved(dx, 0, 1, 4)), torch.tensor([[expected]]))
    column = warp(ROW.mT, moved(0, dx, 4, 1))
    torch.testing.assert_close(column, torch.tensor([[expected]]).mT)


def test_each_pixel_follows_its_own_vector():
    image = torch.arange(6.0).reshape(1, 2, 3)
    flow = torch.tensor([[[0, 1, -2], [0, 0, 0]], [[1, 1, 0], [0, -1, -1]]], dtype=torch.float32)
    expected = torch.tensor([[[3.0, 5.0, 0.0], [3.0, 1.0, 2.0]]])
    torch.testing.assert_close(warp(image, flow), expected)


def test_one_flow_moves_all_pictures_and_many_move_one_each():
    images = torch.rand(2, 3, 5, 7)
    flows = torch.stack([moved(1.5, 0, 5, 7), moved(0, -2, 5, 7)])
    together = warp(images, flows)
    for image, flow, result in zip(images, flows, together, strict=True):
        torch.testing.assert_close(warp(image, flow), result)
    torch.testing.assert_close(warp(images, flows[0])[1], warp(images[1], flows[0]))
    assert warp(images.unsqueeze(0), flows[0]).shape == (1, 2, 3, 5, 7)


def test_half_precision_does_not_blur_positions():
    ramp = torch.arange(1024.0).reshape(1, 1, 1024)
    result = warp(ramp.bfloat16(), moved(0.25, 0, 1, 1024))
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(
        result, warp(ramp.bfloat16().float(), moved(0.25, 0, 1, 1024)).bfloat16()
    )


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-5, 5), st.integers(-5, 5))
def test_whole_pixels_are_copied(height: int, width: int, dx: int, dy: int):
    image = torch.rand(2, height, width)
    rows = (torch.arange(height) + dy).clamp(0, height - 1)
    columns = (torch.arange(width) + dx).clamp(0, width - 1)
    result = warp(image, moved(dx, dy, height, width))
    torch.testing.assert_close(result, image[:, rows][:, :, columns], atol=1e-5, rtol=0)


def test_the_border_itself_is_inside():
    flow = torch.tensor([[[-0.01, 0.0, 1.0, 0.01, float("nan")]], [[0.0] * 5]])
    # Columns 0 to 4: -0.01 is out, 1 and 3 stay, 3.01 stays, what is not a number does not.
    assert inside(flow).tolist() == [[False, True, True, True, False]]
    assert inside(moved(3, 0, 1, 4)).tolist() == [[True, False, False, False]]
    assert inside(moved(0, -1, 3, 1)).flatten().tolist() == [False, True, True]
    assert inside(moved(0, 0, 2, 2).expand(4, 2, 2, 2)).shape == (4, 2, 2)


@pytest.mark.parametrize(
    ("image", "flow", "match"),
    [
        (ROW, torch.zeros(3, 1, 4), r"flow has shape \(3, 1, 4\)"),
        (ROW, torch.zeros(2, 4), r"flow has shape \(2, 4\)"),
        (ROW, torch.zeros(2, 1, 5), r"image has shape \(1, 1, 4\).*\(1, 5\)"),
        (ROW[0], torch.zeros(2, 1, 4), r"image has shape \(1, 4\)"),
        (ROW, torch.zeros(3, 2, 1, 4), r"one flow for each"),
        (ROW.byte(), torch.zeros(2, 1, 4), "floating point"),
    ],
)
def test_what_does_not_fit_is_refused(image: torch.Tensor, flow: torch.Tensor, match: str):
    with pytest.raises(ValueError, match=match):
        warp(image, flow)
