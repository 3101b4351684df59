"""A flow as a picture."""

from __future__ import annotations

import numpy as np

# Baker et al. 2007: steps from one pure colour to the next; the eye tells more reds than blues.
_STEPS = {"red": 15, "yellow": 6, "green": 4, "cyan": 11, "blue": 13, "magenta": 6}


def flow_picture(flow: np.ndarray, *, longest_px: float | None = None) -> np.ndarray:
    """A flow in the colours of Middlebury's wheel: the hue is its direction, white is no motion.

    Args:
        flow: float (2, H, W), (dx, dy) in pixels.
        longest_px: what has full colour, the same for pictures that are to be compared; by
            default the longest vector.

    Returns:
        uint8 (H, W, 3) RGB; black where the flow is not a number, darker where it is longer than
        `longest_px`.
    """
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise ValueError(f"flow has shape {flow.shape}: needs (2, H, W)")
    known = np.isfinite(flow[0]) & np.isfinite(flow[1])
    dx, dy = np.where(known, flow, 0).astype(np.float64)
    length = np.hypot(dx, dy)
    length = length / max(length.max() if longest_px is None else longest_px, 1e-9)
    wheel = _wheel()
    turn = (np.arctan2(-dy, -dx) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(turn).astype(int)
    part = (turn - below)[..., np.newaxis]
    hue = (1 - part) * wheel[below] + part * wheel[(below + 1) % len(wheel)]
    length = length[..., np.newaxis]
    color = np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return np.where(known[..., np.newaxis], np.floor(255 * color), 0).astype(np.uint8)


def _wheel() -> np.ndarray:
    """float (55, 3), RGB in 0..1, from red on."""
    corners = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)], float)
    pieces = [
        corner + (following - corner) * (np.arange(steps) / steps)[:, np.newaxis]
        for corner, following, steps in zip(
            corners, np.roll(corners, -1, axis=0), _STEPS.values(), strict=True
        )
    ]
    return np.concatenate(pieces)
