"""Flow in files: Middlebury's `.flo`, and folders of them as artistic-videos names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from arcadia.atomic import beside, explained, refuse_special
from arcadia.errors import UserError

_TAG = b"PIEH"
_HEADER_BYTES = 12
# Middlebury's files hold at least this where the flow is not known.
_UNKNOWN = 1e9


def read_flo(path: str | os.PathLike[str]) -> np.ndarray:
    """The flow in a Middlebury file.

    Args:
        path: the tag "PIEH", width and height as int32, then (dx, dy) of each pixel row by row as
            float32; all little-endian.

    Returns:
        float32 (2, H, W), (dx, dy) in pixels; not a number where the file says that the flow is
        not known (1e9 and more).

    Raises:
        UserError: there is no such file, or it is not a whole flow file.
    """
    refuse_special(path)
    with explained("read", path):
        data = Path(path).read_bytes()
    if data[:4] != _TAG or len(data) < _HEADER_BYTES:
        raise UserError(f'{path}: is not a .flo file: it does not begin with "PIEH" and a size')
    width, height = (int(size) for size in np.frombuffer(data, "<i4", 2, offset=4))
    wanted = _HEADER_BYTES + 8 * width * height
    if width < 1 or height < 1 or len(data) != wanted:
        raise UserError(
            f"{path}: is damaged: it says {width} x {height} px, so should have {wanted} bytes, "
            f"and has {len(data)}; write it again"
        )
    flow = np.frombuffer(data, "<f4", offset=_HEADER_BYTES).reshape(height, width, 2)
    flow = np.array(flow.transpose(2, 0, 1), np.float32, order="C")
    unknown = ~(np.abs(flow) < _UNKNOWN).all(axis=0)
    flow[:, unknown] = np.nan
    return flow


def write_flo(path: str | os.PathLike[str], flow: np.ndarray) -> None:
    """Writes a flow, float (2, H, W), as a Middlebury file; what is not a number as unknown.

    Raises:
        ValueError: the shape is another.
        UserError: it cannot be written.
    """
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.size:
        raise ValueError(f"flow has shape {flow.shape}: needs (2, H, W)")
    height, width = flow.shape[1:]
    values = np.where(np.isfinite(flow), flow, 10 * _UNKNOWN).transpose(1, 2, 0)
    size = np.array([width, height], "<i4").tobytes()
    with beside(Path(path)) as temporary:
        temporary.write_bytes(_TAG + size + values.astype("<f4").tobytes())


def resize_flow(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """A flow, float32 (2, H, W), of frames of another size: float32 (2, height, width).

    Its vectors grow with the frame. What mixes with the unknown (not a number) becomes so.
    """
    old_height, old_width = flow.shape[1:]
    if (old_height, old_width) == (height, width):
        return flow
    shrinks = height <= old_height and width <= old_width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    dx, dy = (cv2.resize(part, (width, height), interpolation=method) for part in flow)
    return np.stack([dx * (width / old_width), dy * (height / old_height)])


@dataclass(frozen=True, kw_only=True)
class FlowFiles:
    """A folder of flows that somebody else computed, named as by artistic-videos' makeOptFlow.sh.

    `forward_3_4.flo` leads from frame 3 to frame 4, `backward_4_3.flo` back again.
    """

    folder: str | os.PathLike[str]
    height: int
    """Of the frames, in pixels; flows of another size are scaled."""
    width: int
    first_number: int = 1
    """What the files call the video's first frame, which is 0 here."""

    def __call__(self, a: int, b: int) -> np.ndarray:
        """The flow of frame a to frame b, counted from 0: float32 (2, height, width).

        Raises:
            UserError: its file is missing or damaged.
        """
        direction = "forward" if a < b else "backward"
        numbers = f"{a + self.first_number}_{b + self.first_number}"
        path = Path(self.folder, f"{direction}_{numbers}.flo")
        if not path.is_file():
            raise UserError(
                f"{path}: no such flow file; frame {a} to frame {b} of the video was asked for, "
                f"and the files' first frame is taken to be number {self.first_number}"
            )
        return resize_flow(read_flo(path), self.height, self.width)
