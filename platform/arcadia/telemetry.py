"""What a run reports while it goes: TensorBoard events, and gauges for Ray's metrics."""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

import numpy as np

from arcadia.atomic import explained
from arcadia.gauges import Gauges
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_VIDEO_FRAMES = 300


class Telemetry:
    """Writes a run's scalars, pictures and texts; a context manager.

    Args:
        run: where the event files go, under `tensorboard/`.
        ray_metrics: also set a Ray gauge for every scalar and for the step; see `arcadia.gauges`.
        start_step: where a resumed run goes on; events of an earlier attempt from that step on
            are void, here and in TensorBoard.

    Raises:
        UserError: they cannot be written; so do all methods.
    """

    def __init__(self, run: RunFolder, *, ray_metrics: bool = False, start_step: int | None = None):
        from torch.utils.tensorboard.writer import SummaryWriter

        self._run = run
        _quiet_writers()
        self._gauges = Gauges(run.storage, run.kind) if ray_metrics else None
        self._folder = run.scratch("tensorboard")
        with self._writing():
            self._writer = SummaryWriter(str(self._folder), purge_step=start_step)

    def scalars(self, values: Mapping[str, SupportsFloat | None], step: int) -> None:
        """One point for every value that is neither None nor NaN.

        Args:
            values: by name; slashes group. TensorBoard keeps float32.
            step: the count that the run goes by, such as environment steps.
        """
        for name, value in values.items():
            number = math.nan if value is None else float(value)
            if math.isnan(number):
                continue
            with self._writing():
                self._writer.add_scalar(name, number, step)
        if self._gauges is not None:
            self._gauges.set({"step": step, **values})

    def image(self, tag: str, image_hwc: np.ndarray, step: int) -> None:
        """A picture: uint8 (H, W, 3)."""
        with self._writing():
            self._writer.add_image(tag, image_hwc, step, dataformats="HWC")

    def figure(self, tag: str, figure: Figure, step: int) -> None:
        """A matplotlib figure, as a picture; it is closed."""
        with self._writing():
            self._writer.add_figure(tag, figure, step)

    def video(self, tag: str, frames_thwc: np.ndarray, step: int, fps: float) -> None:
        """A short video, as an animated GIF among TensorBoard's pictures.

        Args:
            tag: its name.
            frames_thwc: uint8 (T, H, W, 3) with T at least 1. Of more than 300 frames every n-th
                is kept, and shown n times as long: the whole GIF goes through the browser.
            step: as in `scalars`.
            fps: frames per second; a GIF rounds a frame's time to 0.01 s.
        """
        # SummaryWriter.add_video needs moviepy, a large package, for this GIF alone.
        from tensorboard.compat.proto import summary_pb2

        stride = math.ceil(len(frames_thwc) / _MAX_VIDEO_FRAMES)
        gif = _gif(frames_thwc[::stride], fps / stride)
        _, height, width, channels = frames_thwc.shape
        proto: Any = summary_pb2  # its classes are made at import, where no checker sees them
        image = proto.Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=gif
        )
        file_writer = self._writer.file_writer
        assert file_writer is not None, "telemetry is closed"
        value = proto.Summary.Value(tag=tag, image=image)
        with self._writing():
            file_writer.add_summary(proto.Summary(value=[value]), step)

    def text(self, tag: str, text: str, step: int) -> None:
        """A text in Markdown."""
        with self._writing():
            self._writer.add_text(tag, text, step)

    def flush(self) -> None:
        """Makes everything so far visible to readers of the run."""
        with self._writing():
            self._writer.flush()
        self._run.sync()

    def close(self) -> None:
        """Flushes and ends; calling it again does nothing."""
        if self._gauges is not None:
            self._gauges.close()
        with self._writing():
            self._writer.close()
        self._run.sync()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return explained("write", self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_scalars(run: RunFolder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every scalar that a run has written, as one history over all its attempts.

    A resumed run has an event file for each attempt. Of a tag, a later file wins from its own
    first step on, and everything is void from the step where a later attempt says it started.

    Returns:
        By tag: steps, int64 (N,), ascending and unique, and values, float64 (N,) of float32
        precision.
    """
    folder = run.fetch("tensorboard")
    attempts = [_Attempt(path) for path in folder.glob("events.out.tfevents.*")]
    history: dict[str, dict[int, float]] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.order):
        if attempt.start_step is not None:
            for tag, points in history.items():
                history[tag] = _before(points, attempt.start_step)
        for tag, points in attempt.points.items():
            history[tag] = _before(history.get(tag, {}), min(points)) | points
    return {tag: _arrays(points) for tag, points in sorted(history.items()) if points}


class _Attempt:
    """The scalars of one event file."""

    def __init__(self, path: Path):
        self.points: dict[str, dict[int, float]] = {}
        self.start_step: int | None = None
        self.order = (math.inf, path.name)
        for event in _events(path):
            self.order = min(self.order, (event.wall_time, path.name))
            # SessionLog.START
            if event.HasField("session_log") and event.session_log.status == 1:
                self.start_step = event.step
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    self.points.setdefault(value.tag, {})[event.step] = value.simple_value


def _events(path: Path) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    # It ends without an error at a record that a killed writer left half way.
    return iter(LegacyEventFileLoader(str(path)).Load())


def _before(points: Mapping[int, float], step: int) -> dict[int, float]:
    return {at: value for at, value in points.items() if at < step}


def _arrays(points: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    steps = np.array(sorted(points), np.int64)
    return steps, np.array([points[step] for step in steps.tolist()], np.float64)


def _quiet_writers() -> None:
    """Keeps the tracebacks of TensorBoard's own threads off the terminal: what went wrong in one is
    raised in ours, when it writes the next time."""
    before = threading.excepthook
    if getattr(before, "is_quiet", False):
        return

    def tell(problem: threading.ExceptHookArgs) -> None:
        is_writer = type(problem.thread).__name__ == "_AsyncWriterThread"
        if not (is_writer and isinstance(problem.exc_value, OSError)):
            before(problem)

    tell.is_quiet = True  # type: ignore[attr-defined]
    threading.excepthook = tell


def _gif(frames_thwc: np.ndarray, fps: float) -> bytes:
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames_thwc)
    data = io.BytesIO()
    first.save(
        data,
        "GIF",
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
    )
    return data.getvalue()
