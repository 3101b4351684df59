"""Optical flow between two frames, by the method that a name stands for."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

FlowMethod = Literal["dis_fine", "dis_medium", "farneback", "raft", "raft_small", "files"]

# Below 12 px DIS refuses, and OpenCV 5.0 crashes on frames such as 12 x 100.
_LEAST_PX = 16


def estimate_flow(
    a_hwc: np.ndarray, b_hwc: np.ndarray, method: FlowMethod = "dis_fine"
) -> np.ndarray:
    """Where each point of frame a is in frame b.

    The same frames give the same flow, bit for bit, whatever the number of threads (but "raft"
    and "raft_small", which run on a GPU where there is one). Several threads may call it.

    Args:
        a_hwc: uint8 (H, W, 3) RGB, of any size; what is smaller than 16 px is continued by
            repeating its border.
        b_hwc: likewise, of the same size.
        method: "dis_fine" (dense inverse search, Kroeger et al. 2016, down to single pixels),
            "dis_medium" (OpenCV's preset, some ten times faster and coarser), "farneback", or
            "raft" and "raft_small" (Teed and Deng 2020), which need torchvision.

    Returns:
        float32 (2, H, W), (dx, dy) in pixels on a's grid.

    Raises:
        ValueError: the frames do not fit, or the method estimates nothing.
        UserError: torchvision or its weights cannot be had.
    """
    for name, frame in (("a_hwc", a_hwc), ("b_hwc", b_hwc)):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(f"{name} is {frame.dtype} {frame.shape}: needs uint8 (H, W, 3)")
    if a_hwc.shape != b_hwc.shape:
        raise ValueError(f"a_hwc is {a_hwc.shape}, b_hwc {b_hwc.shape}: need the same size")
    if method in ("raft", "raft_small"):
        from pipelines.flow.raft import raft_flow

        return raft_flow(a_hwc, b_hwc, small=method == "raft_small")
    height, width = a_hwc.shape[:2]
    a, b = (_gray(frame) for frame in (a_hwc, b_hwc))
    if method == "farneback":
        empty = np.zeros((*a.shape, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(a, b, empty, 0.5, 5, 15, 3, 7, 1.5, 0)
    elif method in ("dis_fine", "dis_medium"):
        # One an estimate: it keeps its buffers, and so is for one thread.
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if method == "dis_fine":
            search.setFinestScale(0)
            search.setPatchStride(2)
        flow = search.calc(a, b, np.zeros((*a.shape, 2), np.float32))
    else:
        raise ValueError(f"method {method!r} estimates no flow")
    return np.ascontiguousarray(flow[:height, :width].transpose(2, 0, 1), np.float32)


def _gray(image_hwc: np.ndarray) -> np.ndarray:
    """uint8 (H, W), continued to the right and below where it is too small."""
    gray = cv2.cvtColor(image_hwc, cv2.COLOR_RGB2GRAY)
    below, right = (max(_LEAST_PX - size, 0) for size in gray.shape)
    return cv2.copyMakeBorder(gray, 0, below, 0, right, cv2.BORDER_REPLICATE)
