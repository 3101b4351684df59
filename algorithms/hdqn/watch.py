"""Watching both levels at play: the goal over the picture, and what goals and actions are worth."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.watch import Film, Moment, bars, heading
from algorithms.envs.atari import on_screen
from algorithms.hdqn.config import HDQNConfig
from algorithms.hdqn.runner import HDQNRunner
from arcadia.media.draw import (
    ACCENT,
    GAIN,
    LOSS,
    MUTED,
    TEXT,
    draw_border,
    draw_label,
    draw_mask,
)

_FLASH_S = 0.6  # seconds for which a reward of the critic is shown
_ROW, _MOST = 30, 585  # pixels of a bar, and of all of them at most


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalMoment(Moment):
    """One step on two levels."""

    goal: int
    goal_values: np.ndarray
    """(G,) float32, what the meta-controller thought of the goals when it chose."""
    gain: float
    """What the critic paid for the step before, but for the cost of every step."""
    intrinsic: float
    """Sum of what the critic paid so far."""
    ended: int | None
    """The goal that came to its end by the step before, if one did."""


class GoalFilm(Film):
    """As `Film`, of h-DQN."""

    config_class: ClassVar[type[DQNConfig]] = HDQNConfig
    value_of: ClassVar[str] = "The controller's predicted value"
    runner: HDQNRunner  # type: ignore[assignment]

    def __init__(self, runner: DQNRunner, seed: int) -> None:
        super().__init__(runner, seed)
        self._goal_values = np.zeros(len(self.runner.goals.names), np.float32)
        self._intrinsic, self._num_ended = 0.0, -1
        shape = self.screens.decoded(self.screens.encoded()).shape[:2]
        self._masks = [self._mask_of(goal, shape) for goal in range(len(self._goal_values))]

    def note(self, action: int) -> GoalMoment:
        """As `Film.note`; the goal for the step has been chosen."""
        runner, goals = self.runner, self.runner.current_episode(0).goals
        num_ended, self._num_ended = self._num_ended, len(goals)
        if num_ended != len(goals):
            self._goal_values = runner.goal_values(runner.stacks.observation)[0]
        ended = goals[-1][0] if 0 <= num_ended < len(goals) else None
        return self._with_pay(super().note(action), int(runner.goal[0]), ended)

    def note_end(self) -> GoalMoment:
        """As `Film.note_end`; the goal stays."""
        last: GoalMoment = self.moments[-1]
        return self._with_pay(super().note_end(), last.goal, last.goal)

    def _with_pay(self, moment: Moment, goal: int, ended: int | None) -> GoalMoment:
        is_first = not self.moments
        paid = 0.0 if is_first else float(self.runner.paid[0])
        self._intrinsic += paid
        return GoalMoment(
            picture=moment.picture,
            q_values=moment.q_values,
            action=moment.action,
            score=moment.score,
            goal=goal,
            goal_values=self._goal_values,
            # Rounded: what float32 makes of the sum is no gain.
            gain=0.0 if is_first else round(paid + self.runner.options.step_cost, 4),
            intrinsic=self._intrinsic,
            ended=ended,
        )

    def told(self) -> dict[str, Any]:
        """`intrinsic`, the sum of what the critic paid, and `goals`: of those that came to their
        ends, in order, the name and whether it was reached."""
        names, goals = self.runner.goals.names, self.runner.current_episode(0).goals
        return {"intrinsic": self._intrinsic, "goals": [[names[g], hit] for g, hit in goals]}

    def gains(self) -> list[float]:
        """What the critic paid so far, but for the cost of every step."""
        return np.cumsum([moment.gain for moment in self.moments]).tolist()

    def draw_over(self, picture: np.ndarray, moments: list[Any], i: int) -> np.ndarray:
        """The goal and its name; what the critic paid flashes where it was earned."""
        moment: GoalMoment = moments[i]
        names = self.runner.goals.names
        picture = self._draw_goal(picture, moment.goal, ACCENT, names[moment.goal])
        window = max(1, int(_FLASH_S * self.screens.fps))
        paid = [j for j in range(max(0, i - window + 1), i + 1) if moments[j].gain]
        if not paid:
            return picture
        then: GoalMoment = moments[paid[-1]]
        color, left = (GAIN if then.gain > 0 else LOSS), 1 - (i - paid[-1]) / window
        text = f"{then.gain:+g}"
        if then.gain > 0 and then.ended is not None:
            # Without its name, which would often lie over that of the next goal.
            picture = self._draw_goal(picture, then.ended, color, text)
        else:
            picture = draw_label(picture, text, self._middle(picture), color=color)
        return draw_border(picture, 8, color, left)

    def draw_panels(
        self, moment: Any, step: int, curve: np.ndarray, scale: tuple[float, float]
    ) -> list[np.ndarray]:
        """Both levels, and what they are after."""
        names = self.runner.goals.names
        lines = [
            (f"score {moment.score:g}", TEXT),
            (f"goal: {names[moment.goal]}", ACCENT),
            (f"paid by the critic: {moment.intrinsic:.4g}", TEXT),
            (f"step {step:,}", MUTED),
        ]
        goal_rows, action_rows = len(names), len(moment.q_values)
        title = "Q by goal when chosen"
        return [
            heading(lines, 140),
            self.draw_curve(curve, 150, scale, "max Q, last 10 s"),
            bars(
                list(names),
                moment.goal_values,
                moment.goal,
                _tall(goal_rows),
                self._of_goals,
                title,
            ),
            self.draw_actions(moment, _tall(action_rows), scale, "Q by action, taken one lit"),
        ]

    @functools.cached_property
    def _of_goals(self) -> tuple[float, float]:
        """Least and greatest value of goals in the film."""
        values = np.stack([moment.goal_values for moment in self.moments])
        return float(values.min()), float(values.max())

    def _mask_of(self, goal: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Where a goal is in the picture for people, (H, W) uint8; None: nowhere in particular."""
        options, height, width = self.runner.options, shape[0], shape[1]
        if not self.runner.frames.stacks:
            return self.runner.goals.picture_mask(goal, (height, width))
        mask = self.runner.goal_inputs[goal]
        if options.game is not None:
            return on_screen(mask, options.preprocess, options.crop_top)
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)

    def _draw_goal(self, picture: np.ndarray, goal: int, color: Any, text: str) -> np.ndarray:
        """A goal's mask, if it has a place, and a text at it."""
        mask = self._masks[goal]
        if mask is None or not mask.any():
            return draw_label(picture, text, self._middle(picture), color=color)
        mask = cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        middle = int(columns[0] + columns[-1]) // 2
        return draw_label(
            draw_mask(picture, mask, color), text, (middle, int(rows[0])), color=color
        )

    def _middle(self, picture: np.ndarray) -> tuple[int, int]:
        """Where a text stands that belongs nowhere: above, in the middle."""
        return picture.shape[1] // 2, 0


def _tall(rows: int) -> int:
    """Pixels of a panel of bars."""
    return min(45 + _ROW * rows, _MOST)
