"""Gauges of a run for Ray's metrics, which Prometheus scrapes: their names and their values.

What TensorBoard calls "replay/bytes" is the gauge `arcadia_replay_bytes` here, and
`ray_arcadia_replay_bytes` in Prometheus: Ray puts its own name before it.
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, SupportsFloat

from arcadia.storage import Storage

if TYPE_CHECKING:
    from ray.util.metrics import Gauge

_REPEAT_S = 1.0
_GOAL = re.compile(r"goal/(?P<goal>.+)/(?P<figure>\w+)")
_UNITS = {"per_s": "per_second", "_s": "_seconds"}  # by the end of a tag


class Gauges:
    """Gauges of one run, each with the labels `run` and `kind`; a context manager.

    Whenever Ray is initialised in this process a value that is set is told, and then told again
    every second until this is closed: Ray passes a gauge on once and drops it two reports later
    (20 s), while some values change every few minutes only. What is set without Ray goes nowhere.

    Args:
        storage: where the run is, which says what it is called.
        kind: of the run.
    """

    def __init__(self, storage: Storage, kind: str):
        self._labels = {"run": run_label(storage), "kind": kind}
        self._gauges: dict[str, Gauge] = {}
        self._latest: dict[str, float] = {}  # by tag
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def set(self, values: Mapping[str, SupportsFloat | None]) -> None:
        """Sets those that are neither None nor NaN.

        Args:
            values: by their tags, as TensorBoard has them.
        """
        if self._closed.is_set() or not _is_ray_there():
            return
        numbers = {tag: math.nan if v is None else float(v) for tag, v in values.items()}
        numbers = {tag: number for tag, number in numbers.items() if not math.isnan(number)}
        with self._lock:
            self._latest |= numbers
            self._tell(numbers)
        if self._thread is None:
            self._thread = threading.Thread(target=self._repeat, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Lets the gauges go; calling it again does nothing."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _repeat(self) -> None:
        while not self._closed.wait(_REPEAT_S):
            with self._lock:
                if _is_ray_there():
                    self._tell(self._latest)

    def _tell(self, numbers: Mapping[str, float]) -> None:
        from ray.util.metrics import Gauge

        for tag, number in numbers.items():
            name, labels = metric_of(tag)
            labels |= self._labels
            if name not in self._gauges:
                help_ = _HELP.get(name, _in_ascii(tag))
                self._gauges[name] = Gauge(name, description=help_, tag_keys=tuple(labels))
            self._gauges[name].set(number, tags=labels)


def metric_of(tag: str) -> tuple[str, dict[str, str]]:
    """The gauge of a tag: its name, and its labels beside those of every gauge.

    "train/images_per_s" is `arcadia_train_images_per_second`. A goal is a label:
    "goal/key/tried" is `arcadia_goal_tried` of `goal="key"`.
    """
    labels = {}
    if match := _GOAL.fullmatch(tag):
        tag, labels = f"goal/{match['figure']}", {"goal": _in_ascii(match["goal"])}
    for end, spelt_out in _UNITS.items():
        if tag.endswith(end):
            tag = tag.removesuffix(end) + spelt_out
            break
    return "arcadia_" + re.sub(r"\W", "_", tag, flags=re.ASCII), labels


def run_label(storage: Storage) -> str:
    """What a run is called among others: its folder and the one above, "runs/dqn-20261122-233200".

    The folder alone has the same name in every trial of a sweep and in every run over seeds. No
    credentials of an address are in it.
    """
    shown = storage.shown()
    parts = [part for part in shown.rpartition("://")[2].split("/") if part]
    return _in_ascii("/".join(parts[-2:]))


def _in_ascii(text: str) -> str:
    """Makes "l\\xe4ufe" of "läufe": Ray takes nothing else, and would end the job."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _is_ray_there() -> bool:
    # Whoever has initialised Ray has imported it; this must not.
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


class Metric(NamedTuple):
    """A gauge that jobs set."""

    tag: str
    """As it is set; a goal's has NAME for the goal."""
    kinds: tuple[str, ...]
    """Of the runs that set it."""
    unit: str
    """Empty: a plain number."""
    meaning: str

    @property
    def name(self) -> str:
        """Of the gauge, before Ray puts `ray_` before it."""
        return metric_of(self.tag)[0]

    @property
    def help(self) -> str:
        """What Prometheus shows beside the name."""
        return f"{self.meaning} ({self.unit})" if self.unit else self.meaning


_PLAY = ("dqn", "hdqn")
_META = ("hdqn",)
_LEARN = ("colorizer", "sequence")
_COLORS = ("colorizer",)
_SEQUENCES = ("sequence",)
_PICTURES = ("places", "colorize")

METRICS = (
    Metric("step", (*_PLAY, *_LEARN), "", "Where the curves are: emulator frames, or steps"),
    Metric("episode/return", _PLAY, "points", "Score of the latest training episode"),
    Metric("episode/return_mean", _PLAY, "points", "Mean score of the latest training episodes"),
    Metric("episode/length", _PLAY, "steps", "Length of the latest training episode"),
    Metric("evaluation/return_mean", _PLAY, "points", "Mean score in the latest evaluation"),
    Metric("evaluation/length_mean", _PLAY, "steps", "Mean length in the latest evaluation"),
    Metric("runner/frames_per_s", _PLAY, "frames/s", "Emulator frames played"),
    Metric("runner/env_steps_per_s", _PLAY, "steps/s", "Steps of the environments"),
    Metric("runner/epsilon", _PLAY, "0 to 1", "Chance of a random action"),
    Metric("learner/updates_per_s", _PLAY, "updates/s", "Minibatch updates"),
    Metric("learner/loss", _PLAY, "", "Mean loss"),
    Metric("learner/td_error_abs", _PLAY, "points", "Mean absolute TD error"),
    Metric("learner/q", _PLAY, "points", "Mean value of the actions taken"),
    Metric("learner/held_out_max_q", _PLAY, "points", "Mean greatest value in held-out states"),
    Metric("learner/grad_norm", _PLAY, "", "Norm of the gradient before it is clipped"),
    Metric("learner/lr", _PLAY, "", "Learning rate"),
    Metric("replay/transitions", _PLAY, "transitions", "Held by the replay"),
    Metric("replay/bytes", _PLAY, "bytes", "Memory of the replay"),
    Metric("faults/runner_restarts", _PLAY, "", "Runners that were replaced"),
    Metric("faults/shard_restarts", _PLAY, "", "Replay shards that were replaced"),
    Metric("faults/learner_restarts", _PLAY, "", "Groups of learners that were replaced"),
    Metric("faults/steps_lost", _PLAY, "steps", "Lost with runners"),
    Metric("faults/transitions_lost", _PLAY, "transitions", "Lost with replay shards"),
    Metric("faults/updates_lost", _PLAY, "updates", "Lost with learners, and made again"),
    Metric("meta/updates_per_s", _META, "updates/s", "The meta-controller's updates"),
    Metric("meta/loss", _META, "", "The meta-controller's mean loss"),
    Metric("meta/td_error_abs", _META, "points", "The meta-controller's mean absolute TD error"),
    Metric("meta/q", _META, "points", "The meta-controller's mean value of the goals chosen"),
    Metric("meta/grad_norm", _META, "", "Norm of the meta-controller's gradient"),
    Metric("meta/lr", _META, "", "The meta-controller's learning rate"),
    Metric("meta/epsilon", _META, "0 to 1", "Chance of a random goal"),
    Metric("meta/phase", _META, "1 or 2", "1 while the meta-controller does not learn yet"),
    Metric("goal/NAME/tried", _META, "", "Tries of a goal that ended"),
    Metric("goal/NAME/reached", _META, "", "Tries that reached the goal"),
    Metric("goal/NAME/success_rate", _META, "0 to 1", "Of the goal's latest hundred tries"),
    Metric("goal/NAME/epsilon", _META, "0 to 1", "Chance of a random action towards the goal"),
    Metric("goal/NAME/chosen", _META, "0 to 1", "The goal's share of the latest tries"),
    Metric("train/loss", _LEARN, "", "Mean loss over the workers"),
    Metric("train/noise_c", _LEARN, "", "Strength of the noisy activations"),
    Metric("train/images_per_s", _COLORS, "images/s", "Pictures learnt from"),
    Metric("train/epoch", _COLORS, "epochs", "Passes over the pictures"),
    Metric("train/color_loss", _COLORS, "", "The colours' part of the loss"),
    Metric("train/class_loss", _COLORS, "", "The classes' part of the loss"),
    Metric("train/examples_per_s", _SEQUENCES, "examples/s", "Examples learnt from"),
    Metric("train/gradient_norm", _SEQUENCES, "", "Norm of the gradient before it is clipped"),
    Metric("validation/loss", _SEQUENCES, "nats", "Mean loss of examples kept aside"),
    Metric("validation/error", _SEQUENCES, "0 to 1", "Share of wrong answers, or characters"),
    Metric("validation/wrong", _SEQUENCES, "0 to 1", "Share of answers with a wrong character"),
    Metric("validation/bits", _SEQUENCES, "bits", "Wrong bits of an answer"),
    Metric("validation/perplexity", _SEQUENCES, "", "Perplexity of texts kept aside"),
    Metric("validation/bleu", _SEQUENCES, "0 to 100", "BLEU of texts kept aside"),
    Metric("validation/ab_mse", _COLORS, "", "Mean squared error of a* and b*"),
    Metric("validation/psnr", _COLORS, "dB", "Peak signal-to-noise ratio of the colours"),
    Metric("validation/ssim", _COLORS, "0 to 1", "Structural similarity"),
    Metric("validation/colorfulness", _COLORS, "", "M(3) of Hasler and Suesstrunk 2003"),
    Metric("validation/top1", _COLORS, "0 to 1", "Share of classes told right"),
    Metric("validation/top5", _COLORS, "0 to 1", "Share of classes among the five likeliest"),
    Metric("validation/class_loss", _COLORS, "nats", "Cross-entropy of the classes"),
    Metric("video/frames_stylized", ("stylize",), "frames", "Painted so far, each pass counted"),
    Metric("video/frames_per_s", ("stylize",), "frames/s", "Painted, each pass counted"),
    Metric("pictures/done", _PICTURES, "pictures", "Read, or coloured with the frames of films"),
    Metric("pictures/rejected", _PICTURES, "pictures", "Left out, or that could not be coloured"),
    Metric("pictures/per_s", _PICTURES, "pictures/s", "Done"),
    Metric(
        "queue/depth",
        (*_PLAY, "stylize", *_PICTURES),
        "",
        "Work that is not finished: calls of actors, shots, or parts",
    ),
)
"""All gauges there are, but those of a user's own callbacks."""

_HELP = {metric.name: metric.help for metric in METRICS}
