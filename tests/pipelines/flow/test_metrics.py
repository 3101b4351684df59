"""Metrics of frames of two pixels, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipelines.flow import (
    Motion,
    end_point_error,
    score_mask,
    warping_error_lai,
    warping_error_ruder,
)


def motion(dx: list[float], mask: list[float]) -> Motion:
    """Of one row."""
    flow = np.zeros((2, 1, len(dx)), np.float32)
    flow[0, 0] = dx
    return Motion(flow=flow, mask=np.float32([mask]))


# The first pixel differs by (0, 0.5, 0.2), the second by (0.1, 0, 0).
NOW = np.array([[[0.5, 1.0, 0.2], [0.1, 0.0, 0.0]]])
PREVIOUS = np.array([[[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]])


@pytest.mark.parametrize(
    ("mask", "lai", "ruder"),
    [
        ([1, 1], (0.29 + 0.01) / 2, (0.29 + 0.01) / 6),
        ([1, 0], 0.29, 0.29 / 6),
        ([0.5, 1], (0.145 + 0.01) / 1.5, (0.145 + 0.01) / 6),
    ],
)
def test_both_errors_by_hand(mask: list[float], lai: float, ruder: float):
    still = motion([0, 0], mask)
    assert warping_error_lai(NOW, PREVIOUS, still, max_value=1) == pytest.approx(lai, rel=1e-6)
    assert warping_error_ruder(NOW, PREVIOUS, still, max_value=1) == pytest.approx(ruder, rel=1e-6)


def test_the_past_is_warped_first():
    swap = motion([1, -1], [1, 1])
    assert warping_error_lai(NOW, NOW[:, ::-1], swap, max_value=1) == pytest.approx(0, abs=1e-12)
    still = motion([0, 0], [1, 1])
    assert warping_error_lai(NOW, NOW[:, ::-1], still, max_value=1) > 0.5


@pytest.mark.parametrize("error", [warping_error_lai, warping_error_ruder])
def test_all_kinds_of_frames_have_the_same_error(error):
    rng = np.random.default_rng(0)
    now, previous = rng.integers(0, 256, (2, 6, 8, 3), np.uint8)
    flow = rng.normal(size=(2, 6, 8)).astype(np.float32)
    moves = Motion(flow=flow, mask=rng.random((6, 8), np.float32))
    expected = error(now, previous, moves, max_value=255)
    scaled = error(now / 255, previous / 255, moves, max_value=1)
    tensors = [torch.from_numpy(frame).permute(2, 0, 1).float() for frame in (now, previous)]
    assert expected > 0.01
    assert scaled == pytest.approx(expected, rel=1e-6)
    assert error(*tensors, moves, max_value=255) == pytest.approx(expected, rel=1e-6)
    assert error(now, tensors[1], moves, max_value=255) == pytest.approx(expected, rel=1e-6)


def test_nothing_to_trust_is_no_error_of_lai_and_none_of_ruder():
    hidden = motion([0, 0], [0, 0])
    assert math.isnan(warping_error_lai(NOW, PREVIOUS, hidden, max_value=1))
    assert warping_error_ruder(NOW, PREVIOUS, hidden, max_value=1) == 0


def test_frames_that_do_not_fit_are_named():
    still = motion([0, 0], [1, 1])
    with pytest.raises(ValueError, match=r"previous has shape \(3, 1, 3\)"):
        warping_error_lai(NOW, np.zeros((1, 3, 3)), still, max_value=1)
    with pytest.raises(ValueError, match=r"now has shape \(1, 2, 3\)"):
        warping_error_ruder(torch.zeros(1, 2, 3), PREVIOUS, still, max_value=1)
    with pytest.raises(ValueError, match="of uint8 it is 255"):
        warping_error_lai(np.zeros((1, 2, 3), np.uint8), PREVIOUS, still, max_value=1)


def test_end_points_are_measured_where_the_truth_is_known():
    flow, truth = np.zeros((2, 1, 3)), np.array([[[3.0, 0.0, np.nan]], [[4.0, 1.0, 0.0]]])
    assert end_point_error(flow, truth) == pytest.approx((5 + 1) / 2)
    assert end_point_error(flow, truth, np.array([[False, True, True]])) == pytest.approx(1)
    assert math.isnan(end_point_error(flow, truth, np.array([[False, False, True]])))


def test_a_mask_is_scored_by_shares():
    mask = np.array([[0.0, 0.4, 0.6, 1.0, 0.5, 0.0, 1.0]])
    occluded = np.array([[True, True, True, False, False, False, False]])
    score = score_mask(mask, occluded)
    assert score.found == pytest.approx(2 / 3) and score.kept == pytest.approx(3 / 4)
    assert math.isnan(score_mask(mask, np.zeros_like(occluded)).found)
