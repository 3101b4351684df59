"""Masks against tables worked out by hand, and against scenes whose motion is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.flow import MovingScene, consistency_mask, score_mask


def constant(dx: float, dy: float, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.float32([[[dx]], [[dy]]]), (2, height, width)).copy()


def test_a_pan_loses_what_came_into_the_frame():
    # All moves to the right by 2: the later frame's two left columns were not there before.
    mask = consistency_mask(constant(2, 0, 1, 6), constant(-2, 0, 1, 6))
    assert mask.tolist() == [[0, 0, 1, 1, 1, 1]]
    mask = consistency_mask(constant(0, -1.5, 4, 2), constant(0, 1.5, 4, 2))
    assert mask.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_the_mask_stands_on_the_later_frame():
    # A point jumps from column 1 to column 4 over a still ground. In the later frame it came from
    # column 1; where it was, ground appeared that column 1 of the earlier frame does not show.
    forward, backward = np.zeros((2, 1, 6), np.float32), np.zeros((2, 1, 6), np.float32)
    forward[0, 0, 1], backward[0, 0, 4] = 3, -3
    mask = consistency_mask(forward, backward, motion_boundaries=False)
    assert mask.tolist() == [[1, 0, 1, 1, 1, 1]]
    # Its neighbours there are steep: (3 / 2)^2 each; itself, between two equal ones, is not.
    mask = consistency_mask(forward, backward)
    assert mask.tolist() == [[1, 0, 1, 0, 1, 0]]


@pytest.mark.parametrize(
    ("forward", "backward", "trusted"),
    [
        # a^2 against 0.01 a^2 + 0.5: equal at a = 0.71067.
        (0.7106, 0.0, 1),
        (0.7108, 0.0, 0),
        # e^2 against 0.01 (10^2 + (10 + e)^2) + 0.5: equal at e = 1.69332.
        (11.6930, -10.0, 1),
        (11.6936, -10.0, 0),
        # To the other side, e^2 against 0.01 (10^2 + (10 - e)^2) + 0.5: at e = 1.49131.
        (8.5090, -10.0, 1),
        (8.5084, -10.0, 0),
    ],
)
def test_both_constants_of_disocclusion(forward: float, backward: float, trusted: int):
    along_x = consistency_mask(constant(forward, 0, 3, 40), constant(backward, 0, 3, 40))
    along_y = consistency_mask(constant(0, forward, 40, 3), constant(0, backward, 40, 3))
    assert along_x[1, 20] == along_y[20, 1] == trusted


@pytest.mark.parametrize(
    ("speed", "slope", "trusted"),
    [
        # slope^2 against 0.01 speed^2 + 0.002: equal at 0.044721, and at 0.204939.
        (0.0, 0.04465, 1),
        (0.0, 0.04480, 0),
        (2.0, 0.20485, 1),
        (2.0, 0.20503, 0),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("component", [0, 1])
def test_both_constants_of_motion_boundaries(
    speed: float, slope: float, trusted: int, axis: int, component: int
):
    # At the middle, the backward flow is as fast as said, and that steep along one axis.
    offsets = np.arange(9, dtype=np.float32) - 4
    along = offsets[:, np.newaxis] if axis == 0 else offsets
    backward = np.zeros((2, 9, 9), np.float32)
    backward[component] = speed + slope * along
    forward = np.zeros((2, 9, 9), np.float32)
    forward[component] = -speed
    assert consistency_mask(forward, backward)[4, 4] == trusted
    assert consistency_mask(forward, backward, motion_boundaries=False)[4, 4] == 1


def test_the_steepness_is_of_both_components_and_of_the_backward_flow():
    # 0.04^2 alone is below 0.002; 0.04^2 along x and 0.03^2 along y together are above it.
    backward = np.zeros((2, 5, 5), np.float32)
    backward[0] = 0.04 * (np.arange(5) - 2)
    still = np.zeros_like(backward)
    assert consistency_mask(still, backward)[2, 2] == 1
    assert consistency_mask(backward, still).min() == 1
    backward[1] = 0.03 * (np.arange(5) - 2)[:, np.newaxis]
    assert consistency_mask(still, backward)[2, 2] == 0


def test_a_boundary_is_measured_by_the_speed_of_the_backward_flow():
    # 0.05^2 is above 0.002, and would not be above 0.01 0.6^2 + 0.002, by the forward flow's speed.
    backward = constant(0, 0, 1, 9)
    backward[0, 0] = 0.05 * (np.arange(9) - 4)
    assert consistency_mask(constant(0.6, 0, 1, 9), backward)[0, 4] == 0
    assert consistency_mask(constant(0.6, 0, 1, 9), constant(0, 0, 1, 9))[0, 4] == 1


def test_the_border_counts_as_inside_and_nothing_beyond_it():
    forward = constant(1, 0, 1, 4)
    assert consistency_mask(forward, constant(-1, 0, 1, 4)).tolist() == [[0, 1, 1, 1]]
    assert consistency_mask(forward, constant(-1.001, 0, 1, 4)).tolist() == [[0, 0, 1, 1]]
    assert consistency_mask(-forward, constant(1, 0, 1, 4)).tolist() == [[1, 1, 1, 0]]


def taps() -> list[float]:
    """The five weights of a Gaussian of sigma 0.8."""
    weights = [math.exp(-(i * i) / (2 * 0.8 * 0.8)) for i in (-2, -1, 0, 1, 2)]
    return [weight / sum(weights) for weight in weights]


def test_softening_lets_a_hole_grow_outwards():
    # One pixel of nine by nine is disoccluded: -1 before the blur, so 1 - 2 g g' after it.
    forward, backward = (np.zeros((2, 9, 9), np.float32) for _ in range(2))
    backward[0, 4, 4] = 1
    options = {"soften": True, "motion_boundaries": False}
    mask = consistency_mask(forward, backward, **options)
    expected = np.ones((9, 9))
    expected[2:7, 2:7] = np.clip(1 - 2 * np.outer(taps(), taps()), 0, 1)
    np.testing.assert_allclose(mask, expected, atol=1e-6)
    assert mask[4, 4] == pytest.approx(1 - 2 * 0.4994 * 0.4994, abs=1e-3)
    # A block of three: its middle and sides are cut at 0, and its neighbours lose.
    backward[0, 3:6, 3:6] = 1
    mask = consistency_mask(forward, backward, **options)
    assert mask[4, 4] == mask[4, 3] == 0 and 0 < mask[4, 2] < 0.6 and mask[4, 1] < 1


def test_softening_counts_boundaries_and_the_outside_as_zero_and_mirrors_at_the_border():
    g = taps()
    # Column 0 came from outside: 0 1 1 1 ..., mirrored 1 0 | 0 1 1 1 ...
    mask = consistency_mask(constant(1, 0, 1, 8), constant(-1, 0, 1, 8), soften=True)
    expected = [1 - g[1] - g[2], 1 - g[0] - g[1], 1 - g[0], 1, 1, 1, 1, 1]
    np.testing.assert_allclose(mask[0], expected, atol=1e-6)
    # A step of 0.4 is consistent to within 0.5, and steep at columns 3 and 4.
    backward = constant(0, 0, 1, 8)
    backward[0, 0, 4:] = 0.4
    mask = consistency_mask(np.zeros_like(backward), backward, soften=True)
    hard = consistency_mask(np.zeros_like(backward), backward)
    assert hard.tolist() == [[1, 1, 1, 0, 0, 1, 1, 0]]  # the last column points outside
    assert mask[0, 3] == pytest.approx(1 - g[2] - g[3], abs=1e-6)


@pytest.mark.parametrize("soften", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_frames_of_a_few_pixels_have_masks(shape: tuple[int, int], soften: bool):
    still = np.zeros((2, *shape), np.float32)
    np.testing.assert_allclose(consistency_mask(still, still, soften=soften), np.ones(shape))


@given(st.integers(2, 9), st.integers(2, 9), st.integers(-4, 4), st.integers(-4, 4))
def test_a_whole_pan_keeps_just_what_stays_in_the_frame(height: int, width: int, dx: int, dy: int):
    flow = constant(dx, dy, height, width)
    mask = consistency_mask(flow, -flow)
    x, y = np.arange(width) - dx, (np.arange(height) - dy)[:, np.newaxis]
    stays = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    assert (mask == stays).all()


def test_the_answer_is_of_the_kind_of_the_question():
    scene = MovingScene(height=48, width=64, radius=12)
    flows = scene.flow(0, 1), scene.flow(1, 0)
    tensors = [torch.from_numpy(flow) for flow in flows]
    for options in ({}, {"soften": True}):
        of_arrays, of_tensors = (
            consistency_mask(*flows, **options),
            consistency_mask(*tensors, **options),
        )
        assert isinstance(of_arrays, np.ndarray) and of_arrays.dtype == np.float32
        assert isinstance(of_tensors, torch.Tensor) and of_tensors.dtype == torch.float32
        assert of_arrays.shape == (48, 64) and (of_arrays == of_tensors.numpy()).all()
    halves = consistency_mask(*(tensor.half() for tensor in tensors))
    doubles = consistency_mask(*(flow.astype(np.float64) for flow in flows))
    assert halves.dtype == torch.float32 and doubles.dtype == np.float32
    assert (halves.numpy() == doubles).all()  # these motions are whole pixels


@pytest.mark.gpu
def test_a_mask_is_made_on_the_flows_device():
    scene = MovingScene(height=144, width=192, radius=36, pan=(2.3, 0.4))
    flows = [torch.from_numpy(flow) for flow in (scene.flow(0, 1), scene.flow(1, 0))]
    mask = consistency_mask(*(flow.cuda() for flow in flows), soften=True)
    assert mask.is_cuda
    # A pixel at a threshold may fall to either side.
    differs = (mask.cpu() - consistency_mask(*flows, soften=True)).abs() > 1e-4
    assert differs.float().mean() < 1e-3


def test_what_is_not_known_is_not_trusted():
    forward, backward = constant(1, 0, 5, 9), constant(-1, 0, 5, 9)
    backward[0, 2, 4] = np.nan
    forward[1, 2, 6] = np.nan
    mask = consistency_mask(forward, backward)
    # Its own pixel and, by their gradients, its four neighbours; and what comes from column 6.
    for y, x in [(2, 4), (2, 3), (2, 5), (1, 4), (3, 4), (2, 7)]:
        assert mask[y, x] == 0
    # Sampling between pixels may drag in one more, no further.
    assert mask[:, 1:3].all() and mask[0].tolist() == mask[4].tolist() == [0] + [1] * 8
    assert np.isfinite(consistency_mask(forward, backward, soften=True)).all()


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        (((2, 4, 5), (2, 5, 4)), r"\(2, 4, 5\) and \(2, 5, 4\)"),
        (((4, 5, 2), (4, 5, 2)), r"flow_forward has shape \(4, 5, 2\): needs \(2, H, W\)"),
        (((2, 4, 5), (4, 5)), r"flow_backward has shape \(4, 5\)"),
        (((1, 2, 4, 5), (1, 2, 4, 5)), r"flow_forward has shape \(1, 2, 4, 5\)"),
        (((2, 0, 5), (2, 0, 5)), r"flow_forward has shape \(2, 0, 5\)"),
    ],
)
def test_bad_shapes_are_named(shapes: tuple[tuple[int, ...], ...], match: str):
    with pytest.raises(ValueError, match=match):
        consistency_mask(*(np.zeros(shape, np.float32) for shape in shapes))
    with pytest.raises(ValueError, match=match):
        consistency_mask(*(torch.zeros(shape) for shape in shapes))


def test_an_array_and_a_tensor_are_refused():
    with pytest.raises(ValueError, match="two NumPy arrays or two tensors, got ndarray and Tensor"):
        consistency_mask(np.zeros((2, 3, 3)), torch.zeros(2, 3, 3))  # pyright: ignore


@pytest.mark.parametrize(
    ("height", "width", "radius"), [(72, 128, 18), (144, 192, 36), (272, 640, 70), (436, 1024, 110)]
)
@pytest.mark.parametrize(
    ("pan", "velocity"),
    [((3.0, 1.0), (-5.0, 2.0)), ((0.0, 0.0), (1.3, -0.7)), ((-2.4, 0.3), (6.6, 1.9))],
)
def test_exact_flows_find_the_occluded_and_keep_the_rest(
    height: int,
    width: int,
    radius: float,
    pan: tuple[float, float],
    velocity: tuple[float, float],
):
    scene = MovingScene(height=height, width=width, radius=radius, pan=pan, velocity=velocity)
    occluded, flows = scene.occluded(0, 1), (scene.flow(0, 1), scene.flow(1, 0))
    score = score_mask(consistency_mask(*flows), occluded)
    assert score.found >= 0.95
    assert score.kept >= 0.95  # of all the rest, the band along the disc's edge included
    score = score_mask(consistency_mask(*flows, motion_boundaries=False), occluded)
    assert score.found >= 0.9 and score.kept >= 0.99


def test_a_view_will_do():
    scene = MovingScene(height=24, width=32, radius=6)
    forward, backward = scene.flow(0, 1)[:, ::-1], scene.flow(1, 0)[:, ::-1]
    expected = consistency_mask(forward.copy(), backward.copy())
    assert (consistency_mask(forward, backward) == expected).all()
