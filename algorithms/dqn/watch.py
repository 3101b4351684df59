"""Watching a policy at play: a film with its values beside the picture, and a figure of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.playing import load_runner
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.score_tables import title_of
from algorithms.dqn.screens import Screens
from algorithms.dqn.value_figure import value_figure
from arcadia.media.draw import BACKGROUND, MUTED, TEXT, bar_panel, draw_text, line_panel
from arcadia.media.writer import VideoWriter
from arcadia.runs import RunFolder

if TYPE_CHECKING:
    from arcadia.commands import WatchOptions

_HEIGHT = 630  # of the film: three times the console's 210 rows
_MAX_WIDTH = 960  # of the picture in it
_PANEL_WIDTH = 380
_LINE_S = 10  # seconds of the curve
_END_S = 1  # seconds for which the end of an episode is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One step of a game: what was seen, what it was thought to be worth, what was done."""

    picture: bytes
    """The screen, encoded: a whole game of raw screens would not fit into memory."""
    q_values: np.ndarray
    """(A,) float32."""
    action: int | None
    """None after the last step."""
    score: float
    """Sum of the game's own rewards so far."""


class Film:
    """One episode as it is filmed: its moments are noted, then drawn.

    Args:
        runner: Plays it, in its only environment.
        seed: That the episode starts with.

    Attributes:
        moments: Of each step, what there was before it.
    """

    config_class: ClassVar[type[DQNConfig]] = DQNConfig
    value_of: ClassVar[str] = "Predicted value"

    def __init__(self, runner: DQNRunner, seed: int) -> None:
        self.runner = runner
        self.screens = Screens(runner, seed)
        self.moments: list[Any] = []
        self._end: Any = None  # what there is after the last step
        self._is_over = False
        runner.reset(np.array([seed]))

    def play(self, epsilon: float, max_steps: int) -> bool:
        """Plays and notes the episode; whether it came to its end.

        Args:
            epsilon: Chance of a random action.
            max_steps: After so many, it is left in the middle.
        """
        for _ in range(max_steps):
            action = int(self.runner.start_step(epsilon)[0])
            self.moments.append(self.note(action))
            self.screens.send(action)
            self._is_over = bool(self.runner.finish_step())
            self.runner.forget()
            self.screens.recv()
            if self._is_over:
                break
        self._end = self.note_end()
        return self._is_over

    def note(self, action: int) -> Moment:
        """What there is before the step that was started with an action."""
        return Moment(
            picture=self.screens.encoded(),
            q_values=self.runner.q_values(self.runner.stacks.observation)[0],
            action=action,
            score=self.score,
        )

    def note_end(self) -> Moment:
        """What there is after the last step."""
        last = self.moments[-1]
        return replace(last, picture=self.screens.encoded(), action=None, score=self.score)

    @property
    def score(self) -> float:
        """Sum of the game's own rewards so far."""
        return self.runner.current_episode(0).return_

    def told(self) -> dict[str, Any]:
        """What more the command answers."""
        return {}

    def gains(self) -> list[float]:
        """What marks the figure of values where it changes: the score, at each moment."""
        return [moment.score for moment in self.moments]

    def frames(self) -> Iterator[np.ndarray]:
        """Draws the film: the screen on the left, the agent's mind on the right."""
        shown = self.moments
        if self._is_over:
            shown = [*shown, *[self._end] * int(_END_S * self.screens.fps)]
        values = np.stack([moment.q_values for moment in shown])
        # One scale for the whole film, so that bars can be compared across it.
        scale = float(values.min()), float(values.max())
        for i, moment in enumerate(shown):
            picture = self.draw_picture(shown, i)
            start = max(0, i + 1 - max(2, int(_LINE_S * self.screens.fps)))
            curve = values[start : i + 1].max(axis=1)
            panels = self.draw_panels(moment, min(i, len(self.moments)), curve, scale)
            yield np.hstack([picture, in_columns(panels, _HEIGHT)])

    def draw_picture(self, moments: list[Any], i: int) -> np.ndarray:
        """The screen at a moment, (630, W, 3), as large as it fits."""
        picture = self.screens.decoded(moments[i].picture)
        scale = min(_HEIGHT / picture.shape[0], _MAX_WIDTH / picture.shape[1])
        width, height = (2 * round(n * scale / 2) for n in picture.shape[1::-1])
        sharp = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
        picture = cv2.resize(picture, (width, height), interpolation=sharp)
        picture = self.draw_over(picture, moments, i)
        rest = _HEIGHT - height
        border = (rest // 2, rest - rest // 2, 0, 0)
        return cv2.copyMakeBorder(picture, *border, cv2.BORDER_CONSTANT, value=BACKGROUND)

    def draw_over(self, picture: np.ndarray, moments: list[Any], i: int) -> np.ndarray:
        """Draws over the screen at a moment."""
        return picture

    def draw_panels(
        self, moment: Any, step: int, curve: np.ndarray, scale: tuple[float, float]
    ) -> list[np.ndarray]:
        """What stands beside the screen, from top to bottom.

        Args:
            moment: What is drawn.
            step: Its number.
            curve: (T,) the greatest value of each of the last ten seconds' steps.
            scale: Least and greatest value of the film.
        """
        return [
            heading([(f"score {moment.score:g}", TEXT), (f"step {step:,}", MUTED)], 90),
            self.draw_curve(curve, 190, scale, "value: max Q, last 10 s"),
            self.draw_actions(moment, _HEIGHT - 280, scale, "Q by action, the one taken lit"),
        ]

    def draw_curve(
        self, curve: np.ndarray, height: int, scale: tuple[float, float], title: str
    ) -> np.ndarray:
        """The curve of values."""
        return line_panel(curve, _PANEL_WIDTH, height, lo=scale[0], hi=scale[1], title=title)

    def draw_actions(
        self, moment: Any, height: int, scale: tuple[float, float], title: str
    ) -> np.ndarray:
        """The values of the actions, the one taken lit."""
        names = [name.lower() for name in self.runner.frames.action_names]
        return bars(names, moment.q_values, moment.action, height, scale, title)


def film(
    run: RunFolder,
    *,
    checkpoint: str = "last",
    seed: int,
    epsilon: float | None = None,
    max_seconds: float = 120,
    film_class: type[Film] = Film,
) -> dict[str, Any]:
    """Plays one episode of a run's checkpoint; writes `watch.mp4` and `value.png` into the run.

    Args:
        run: A run of the algorithm.
        checkpoint: "last", "best" or a step.
        seed: Of the environment and of the random actions.
        epsilon: Chance of a random action; None: the run's `epsilon_eval`.
        max_seconds: Of film, at the game's own speed; a longer episode is left in the middle.
        film_class: Of the algorithm.

    Returns:
        `film` and `figure` (their paths), `checkpoint_step`, `steps`, `score`, `ended` (whether the
        episode did), and what the film tells.

    Raises:
        UserError: the run has no checkpoint, or its environment draws no pictures.
    """
    runner = load_runner(
        run,
        num_envs=1,
        seed=seed,
        picture=True,
        checkpoint=checkpoint,
        config_class=film_class.config_class,
    )
    film = film_class(runner, seed)
    options, screens = runner.options, film.screens
    epsilon = options.epsilon_eval if epsilon is None else epsilon
    ended = film.play(epsilon, max(1, int(max_seconds * screens.fps)))
    moments = film.moments
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "watch.mp4")
        with VideoWriter(path, screens.fps, crf=23) as writer:
            for frame in film.frames():
                writer.write(frame)
        run.write_bytes("watch.mp4", path.read_bytes())
    figure = value_figure(
        [float(m.q_values.max()) for m in moments],
        film.gains(),
        lambda step: screens.decoded(moments[step].picture),
        f"{film.value_of} in {title_of(str(options.game or options.env))}",
    )
    run.write_bytes("value.png", figure)
    result = {
        "film": run.storage.shown("watch.mp4"),
        "figure": run.storage.shown("value.png"),
        "checkpoint_step": run.find_checkpoint(checkpoint)[1],
        "steps": len(moments),
        "score": film.score,
        "ended": ended,
        **film.told(),
    }
    runner.stop()
    return result


def watch(run: RunFolder, command: WatchOptions, film_class: type[Film] = Film) -> dict[str, Any]:
    """What `arcadia watch` does with a run of the film's algorithm; returns as `film`."""
    result = film(
        run,
        checkpoint=command.checkpoint,
        seed=command.seed if command.seed is not None else 0,
        epsilon=command.epsilon,
        max_seconds=command.max_seconds,
        film_class=film_class,
    )
    print(f"Film: {result['film']}\nValue: {result['figure']}")
    return result


def heading(lines: list[tuple[str, Any]], height: int) -> np.ndarray:
    """Lines of text, each with its colour, the first large, as a panel."""
    panel, at = np.full((height, _PANEL_WIDTH, 3), BACKGROUND, np.uint8), 14
    for i, (text, color) in enumerate(lines):
        panel = draw_text(panel, text, (16, at), size=15 if i else 26, color=color, bold=not i)
        at += 26 if i else 40
    return panel


def bars(
    names: list[str],
    values: np.ndarray,
    chosen: int | None,
    height: int,
    scale: tuple[float, float],
    title: str,
) -> np.ndarray:
    """A panel of bars; see `bar_panel`."""
    lo, hi = scale
    return bar_panel(names, values, chosen, _PANEL_WIDTH, height, lo=lo, hi=hi, title=title)


def in_columns(panels: list[np.ndarray], height: int) -> np.ndarray:
    """Panels of one width below each other, in as many columns of a height as they need.

    Args:
        panels: (H, W, 3) uint8, H at most the height.
        height: Of the columns.

    Returns:
        (height, number of columns * W, 3) uint8.
    """
    columns: list[list[np.ndarray]] = [[]]
    for panel in panels:
        if sum(map(len, columns[-1])) + len(panel) > height:
            columns.append([])
        columns[-1].append(panel)
    whole = np.full((height, len(columns) * panels[0].shape[1], 3), BACKGROUND, np.uint8)
    for column, part in zip(columns, np.hsplit(whole, len(columns)), strict=True):
        stacked = np.vstack(column)
        part[: len(stacked)] = stacked
    return whole
