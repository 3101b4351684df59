"""Painted frames in the run's folder, and the manifest that says which of them count.

    videos/<video>/frames/00000012.png     a finished frame
    videos/<video>/run_in/0003/...         frames before part 3 that will be dropped
    videos/<video>/passes/0003/07/...      frames of part 3 after pass 7
    videos/<video>/parts/0003.json         manifest: what is done of part 3, in its order

A frame is written whole and then gets its line in the manifest; one without a line is painted
again. Frames are 8-bit PNG, also for what follows from them, so that a part that goes on elsewhere
ends with the same frames as one that was never interrupted.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import cv2
import numpy as np

from arcadia.errors import UserError
from arcadia.storage import Storage
from pipelines.stylization.parts import Part

_MOST_STARTS = 3
_HELD = 8  # frames that are read again at once: the spans of the temporal loss


class FrameFiles:
    """Frames by number in a folder of the run."""

    def __init__(self, storage: Storage, folder: str):
        self._storage = storage
        self._folder = folder
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def name(self, number: int) -> str:
        """The file's, within the storage."""
        return f"{self._folder}/{number:08d}.png"

    def write(self, number: int, frame_hwc: np.ndarray) -> None:
        """Adds a frame, uint8 (H, W, 3) RGB, whole or not at all."""
        self._storage.write_bytes(self.name(number), png_of(frame_hwc))
        self._hold(number, frame_hwc)

    def read(self, number: int) -> np.ndarray:
        """A frame, not to be changed. UserError when it is not there or no picture."""
        if number not in self._held:
            data = np.frombuffer(self._storage.read_bytes(self.name(number)), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
            if picture is None:
                raise UserError(f"{self._storage.shown(self.name(number))}: is no whole picture")
            self._hold(number, picture)
        return self._held[number]

    def _hold(self, number: int, frame_hwc: np.ndarray) -> None:
        self._held[number] = frame_hwc
        self._held.move_to_end(number)
        if len(self._held) > _HELD:
            self._held.popitem(last=False)


class Manifest:
    """What is done of a part, pass by pass. One process writes it, others may read."""

    def __init__(self, storage: Storage, part: Part):
        self._storage = storage
        self._name = f"videos/{part.video}/parts/{part.number:04d}.json"
        self._state: dict[str, Any] = {"part": part.to_json(), "passes": [], "frames": []}
        if storage.exists(self._name):
            state = json.loads(storage.read_bytes(self._name))
            if state["part"] != part.to_json():
                raise UserError(
                    f"{storage.shown(self._name)}: belongs to frames {state['part']['start']} to "
                    f"{state['part']['stop']}, not {part.start} to {part.stop}; choose another "
                    "--run-dir"
                )
            self._state = state

    @property
    def passes(self) -> list[dict[str, Any]]:
        """What the complete passes came to; of a single pass none is listed before its end."""
        return self._state["passes"]

    @property
    def frames(self) -> list[dict[str, Any]]:
        """Records of the frames of the pass that is under way, or of the last, in their order."""
        return self._state["frames"]

    @property
    def is_complete(self) -> bool:
        return bool(self._state.get("complete"))

    def add(self, record: dict[str, Any]) -> None:
        """Says that a frame is finished, whose file is written."""
        self.frames.append(record)
        self._write()

    def end_pass(self, summary: dict[str, Any], *, is_last: bool) -> None:
        """Says that all frames of a pass are finished."""
        self.passes.append(summary)
        self._state["complete"] = is_last
        if not is_last:
            self._state["frames"] = []
        self._write()

    def _write(self) -> None:
        text = json.dumps(self._state, separators=(",", ":"))
        self._storage.write_bytes(self._name, text.encode())


def count_start(storage: Storage, part: Part, *, call: str, done: int) -> None:
    """Counts how often a part was begun where it is, without a frame finished in between.

    Args:
        storage: the run's folder.
        part: what is begun.
        call: tells this use of painters from others, which count anew.
        done: its finished frames, times passes.

    Raises:
        UserError: it was begun thrice already, and whoever did so died.
    """
    name = f"videos/{part.video}/starts/{part.number:04d}.json"
    here = {"call": call, "done": done}
    starts = 0
    if storage.exists(name):
        before = json.loads(storage.read_bytes(name))
        starts = before["starts"] if here == {k: before[k] for k in here} else 0
    if starts >= _MOST_STARTS:
        raise UserError(
            f"part {part.number}: {starts} painters in a row died at frame {done} of it; Ray's "
            "logs say why; if memory ran out, give a smaller --size"
        )
    storage.write_bytes(name, json.dumps(here | {"starts": starts + 1}).encode())


def png_of(frame_hwc: np.ndarray) -> bytes:
    """A PNG file, packed quickly, of a uint8 (H, W, 3) RGB frame."""
    bgr = cv2.cvtColor(frame_hwc, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
