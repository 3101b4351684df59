"""Watching a policy at play: a film with its values beside the picture, and a figure of them.

A game is shown in the console's own colours and resolution: a second emulator, seeded and stepped
like the one the agent plays, draws them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from algorithms.dqn.options import options_of
from algorithms.dqn.playing import load_runner
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.score_tables import title_of
from algorithms.dqn.stacks import make_frames
from algorithms.dqn.value_figure import value_figure
from algorithms.envs import GymnasiumFrames
from algorithms.replay import FrameCodec
from arcadia.errors import UserError
from arcadia.media.draw import BACKGROUND, MUTED, TEXT, bar_panel, draw_text, line_panel
from arcadia.media.video import VideoWriter
from arcadia.runs import RunFolder

_HEIGHT = 630  # of the film: three times the console's 210 rows
_PANEL_WIDTH = 380
_EMULATOR_FPS = 60


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a game: what was seen, what it was thought to be worth, what was done."""

    picture: bytes
    """The screen, encoded: a whole game of raw screens would not fit into memory."""
    q_values: np.ndarray
    """(A,) float32."""
    action: int
    score: float
    """Sum of the game's own rewards so far."""


def film(
    run: RunFolder,
    *,
    checkpoint: str = "last",
    seed: int,
    epsilon: float | None = None,
    max_seconds: float = 120,
) -> dict[str, Any]:
    """Plays one episode of a run's checkpoint; writes `watch.mp4` and `value.png` into the run.

    Args:
        run: A run of DQN.
        checkpoint: "last", "best" or a step.
        seed: Of the environment and of the random actions.
        epsilon: Chance of a random action; None: the run's `epsilon_eval`.
        max_seconds: Of film, at the game's own speed; a longer episode is left in the middle.

    Returns:
        `film` and `figure` (their paths), `checkpoint_step`, `steps`, `score` and `ended` (whether
        the episode did).

    Raises:
        UserError: the run has no checkpoint, or its environment draws no pictures.
    """
    options = options_of(run)
    runner = load_runner(run, num_envs=1, seed=seed, picture=True, checkpoint=checkpoint)
    screens = _Screens(runner, seed)
    fps = screens.fps
    epsilon = options.epsilon_eval if epsilon is None else epsilon
    steps = max(1, int(max_seconds * fps))
    moments, ended = [], False
    runner.reset(np.array([seed]))
    score = 0.0
    for _ in range(steps):
        picture, q_values = screens.encoded(), runner.q_values(runner.stacks.observation)[0]
        action = int(runner.start_step(epsilon)[0])
        screens.send(action)
        episodes = runner.finish_step()
        runner.take_fragment()
        screens.recv()
        moments.append(Moment(picture, q_values, action, score))
        score = runner.current_score(0)
        if episodes:
            ended = True
            break
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "watch.mp4")
        with VideoWriter(path, fps, crf=23) as writer:
            for frame in _drawn(moments, screens, runner.frames.action_names, fps):
                writer.write(frame)
        run.write_bytes("watch.mp4", path.read_bytes())
    title = f"Predicted value in {title_of(str(options.game or options.env))}"
    figure = value_figure(
        [float(m.q_values.max()) for m in moments],
        [m.score for m in moments],
        lambda step: screens.decoded(moments[step].picture),
        title,
    )
    run.write_bytes("value.png", figure)
    runner.stop()
    return {
        "film": run.storage.shown("watch.mp4"),
        "figure": run.storage.shown("value.png"),
        "checkpoint_step": run.find_checkpoint(checkpoint)[1],
        "steps": len(moments),
        "score": score,
        "ended": ended,
    }


class _Screens:
    """Pictures for people of what a runner's first environment plays."""

    def __init__(self, runner: DQNRunner, seed: int) -> None:
        self._runner = runner
        frames = runner.frames
        if isinstance(frames, GymnasiumFrames):
            self._twin = None
            self.fps = Fraction(frames.env.metadata.get("render_fps") or 30)
            self._picture = np.zeros(0, np.uint8)
            frames.reset(np.array([seed]))
            self._render()
        else:
            self._twin = make_frames(runner.options, lambda i: None, num_envs=1, screen=True)  # type: ignore[arg-type, return-value]
            self.fps = Fraction(_EMULATOR_FPS, runner.options.frame_skip)
            self._picture = self._twin.reset(np.array([seed]))[0]
        self._codec = FrameCodec(self._picture.shape, np.uint8, "lz4")

    def encoded(self) -> bytes:
        """The picture of now."""
        return self._codec.encode(self._picture)

    def decoded(self, picture: bytes) -> np.ndarray:
        """(H, W, 3) uint8 of an encoded picture."""
        out = np.empty(self._picture.shape, np.uint8)
        self._codec.decode_into(picture, out)
        return out

    def send(self, action: int) -> None:
        if self._twin is not None:
            self._twin.send(np.array([action]))

    def recv(self) -> None:
        if self._twin is not None:
            self._picture = self._twin.recv().frame[0]
        else:
            self._render()

    def _render(self) -> None:
        rendered = self._runner.frames.env.render()  # type: ignore[attr-defined]
        if not rendered or not isinstance(rendered[0], np.ndarray):
            raise UserError(
                f'env "{self._runner.options.env}": draws no picture '
                '(no render mode "rgb_array"); it cannot be filmed'
            )
        self._picture = np.ascontiguousarray(rendered[0])


def _drawn(
    moments: list[Moment], screens: _Screens, action_names: tuple[str, ...], fps: Fraction
) -> Iterator[np.ndarray]:
    """The film's frames: the screen on the left, the agent's mind on the right."""
    q_values = np.stack([m.q_values for m in moments])
    values = q_values.max(axis=1)
    # One scale for the whole film, so that bars can be compared across it.
    lo, hi = float(q_values.min()), float(q_values.max())
    window = max(2, int(10 * fps))
    for i, moment in enumerate(moments):
        picture = screens.decoded(moment.picture)
        scale = _HEIGHT / picture.shape[0]
        width = 2 * round(picture.shape[1] * scale / 2)
        sharp = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
        big = cv2.resize(picture, (width, _HEIGHT), interpolation=sharp)
        start = max(0, i + 1 - window)
        head = np.full((90, _PANEL_WIDTH, 3), BACKGROUND, np.uint8)
        head = draw_text(head, f"score {moment.score:g}", (16, 14), size=26, color=TEXT, bold=True)
        head = draw_text(head, f"step {i:,}", (16, 54), size=15, color=MUTED)
        line = line_panel(
            values[start : i + 1], _PANEL_WIDTH, 190, lo=lo, hi=hi, title="value: max Q, last 10 s"
        )
        bars = bar_panel(
            [name.lower() for name in action_names],
            moment.q_values,
            moment.action,
            _PANEL_WIDTH,
            _HEIGHT - 280,
            lo=lo,
            hi=hi,
            title="Q by action, the one taken lit",
        )
        yield np.hstack([big, np.vstack([head, line, bars])])
