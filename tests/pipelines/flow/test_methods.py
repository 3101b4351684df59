from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from arcadia.errors import UserError
from arcadia.media import read_image
from pipelines.flow import (
    FlowMethod,
    MovingScene,
    consistency_mask,
    end_point_error,
    estimate_flow,
    score_mask,
)
from pipelines.flow.raft import _padded

METHODS: list[FlowMethod] = ["dis_fine", "dis_medium", "farneback"]


@pytest.fixture
def opencv_threads() -> Iterator[None]:
    """Puts their number back."""
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.parametrize(("method", "most_px"), zip(METHODS, (0.15, 0.25, 1.0), strict=True))
def test_a_known_motion_is_found(method: FlowMethod, most_px: float):
    scene = MovingScene(height=120, width=160, radius=30)
    flow = estimate_flow(scene.frame(0), scene.frame(1), method)
    assert flow.dtype == np.float32 and flow.shape == (2, 120, 160) and flow.flags.c_contiguous
    assert end_point_error(flow, scene.flow(0, 1), ~scene.occluded(1, 0)) < most_px


def test_fine_search_is_nearer_than_medium_and_both_than_farneback():
    scene = MovingScene(height=144, width=192, radius=36)
    errors = [
        end_point_error(estimate_flow(scene.frame(0), scene.frame(1), method), scene.flow(0, 1))
        for method in METHODS
    ]
    assert errors == sorted(errors) and errors[0] < 0.8 * errors[1]


def test_the_mask_of_estimated_flow_finds_most():
    scene = MovingScene(height=144, width=192, radius=36)
    a, b = scene.frame(0), scene.frame(1)
    mask = consistency_mask(estimate_flow(a, b), estimate_flow(b, a))
    score = score_mask(mask, scene.occluded(0, 1))
    assert score.found >= 0.95 and score.kept >= 0.92


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    # OpenCV refuses the first, and by itself dies on the widest, 12 to 15 px high.
    "size",
    [(1, 1), (3, 50), (8, 8), (11, 100), (12, 100), (15, 48), (100, 12), (16, 16), (17, 33)],
)
def test_small_and_thin_frames_have_a_flow(method: FlowMethod, size: tuple[int, int]):
    scene = MovingScene(height=size[0], width=size[1], radius=0, pan=(1, 0))
    flow = estimate_flow(scene.frame(0), scene.frame(1), method)
    assert flow.shape == (2, *size) and np.isfinite(flow).all()
    if min(size) >= 12 and max(size) >= 48:
        assert np.median(np.abs(flow[0] - 1)) < 0.4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("opencv_threads")
def test_the_flow_does_not_depend_on_the_number_of_threads(method: FlowMethod):
    scene = MovingScene(height=97, width=131, radius=20)
    a, b = scene.frame(0), scene.frame(1)
    flows = []
    for num_threads in (1, 2, 5):
        cv2.setNumThreads(num_threads)
        flows.append(estimate_flow(a, b, method))
        with ThreadPoolExecutor(4) as pool:
            flows += pool.map(lambda _: estimate_flow(a, b, method), range(8))
    assert {flow.tobytes() for flow in flows} == {flows[0].tobytes()}


def test_still_frames_have_no_flow():
    frame = MovingScene(height=64, width=80, radius=10).frame(0)
    for method in METHODS:
        assert np.abs(estimate_flow(frame, frame, method)).max() < 0.05


def test_a_real_pair_has_nearly_its_known_disparity(test_data: Path):
    left, right = (
        read_image(test_data / "flow" / f"motorcycle_{side}.png") for side in ("left", "right")
    )
    with np.load(test_data / "flow" / "motorcycle_disp.npz") as entry:
        disparity = entry[entry.files[0]]
    truth = np.stack([-disparity, np.zeros_like(disparity)])
    truth[:, ~np.isfinite(disparity)] = np.nan
    errors = [end_point_error(estimate_flow(left, right, method), truth) for method in METHODS]
    assert errors[0] < 6 and errors[0] < errors[2]


@pytest.mark.parametrize(
    ("a", "b", "method", "match"),
    [
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8), "dis_fine", "same size"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), "dis_fine", "a_hwc is uint8"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3)), "farneback", "b_hwc is float64"),
        (np.zeros((0, 20, 3), np.uint8), np.zeros((0, 20, 3), np.uint8), "dis_fine", "a_hwc"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), "files", "no flow"),
    ],
)
def test_what_does_not_fit_is_refused(a: np.ndarray, b: np.ndarray, method: FlowMethod, match: str):
    with pytest.raises(ValueError, match=match):
        estimate_flow(a, b, method)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
@pytest.mark.parametrize("method", ["raft", "raft_small"])
def test_raft_without_torchvision_says_what_to_do(method: FlowMethod):
    frame = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UserError, match=r"install the torchvision made for torch .*dis_fine") as e:
        estimate_flow(frame, frame, method)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("size", "padded"), [((1, 1), (128, 128)), ((128, 136), (128, 136)), ((129, 200), (136, 200))]
)
def test_raft_gets_a_size_it_can_halve(size: tuple[int, int], padded: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    result = _padded(image).numpy()
    assert result.shape == (1, 3, *padded) and result.dtype == np.uint8
    assert (result[0, :, : size[0], : size[1]] == image.transpose(2, 0, 1)).all()
    assert (result[0, :, -1, -1] == image[-1, -1]).all()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_raft_finds_a_known_motion():
    scene = MovingScene(height=130, width=180, radius=30)
    try:
        flow = estimate_flow(scene.frame(0), scene.frame(1), "raft_small")
    except UserError as error:
        pytest.skip(str(error))  # no weights, no network
    assert flow.shape == (2, 130, 180)
    assert end_point_error(flow, scene.flow(0, 1), ~scene.occluded(1, 0)) < 1
