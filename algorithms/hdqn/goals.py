"""Goals of an environment: what they are called, what the controller sees of them, and when one is
reached. A user's own environment needs one `GoalSpace`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np

from algorithms.envs.vector import Moment
from arcadia.errors import UserError

if TYPE_CHECKING:
    from algorithms.hdqn.options import HDQNOptions

MAX_GOALS = 255
"""A replay keeps a goal as one byte."""


class GoalSpace(ABC):
    """The goals of an environment, at most 255.

    Example:
        class Corners(GoalSpace):
            names = ("left", "right")

            def inputs(self):
                return np.eye(2, dtype=np.float32)

            def reached(self, before, after, goal):
                return after.observation[0] == (0, 9)[goal]
    """

    names: tuple[str, ...]
    """What the goals are called, in the order of their numbers."""
    needs_screen: bool = False
    """Whether `reached` reads a game's own picture, `info["screen"]` of a moment."""

    @classmethod
    def make(cls, options: HDQNOptions) -> Self:
        """Makes the goals for a run; where they hang on how it is played, a class says so here."""
        return cls()

    @abstractmethod
    def inputs(self) -> np.ndarray:
        """What the controller sees of each goal beside the observation.

        Returns:
            Where observations are pictures, `(G, H, W)` uint8 masks of a frame's size, 255 where
            the goal is and else 0; where they are vectors, `(G, F)` float32 features.
        """

    @abstractmethod
    def reached(self, before: Moment, after: Moment, goal: int) -> bool:
        """Whether a step reached a goal.

        Args:
            before: What there was before the step.
            after: And after it; the episode may have ended there.
            goal: 0 to G - 1.
        """

    def picture_mask(self, goal: int, shape: tuple[int, int]) -> np.ndarray | None:
        """Where a goal is in a picture that the environment renders, for `arcadia watch`.

        Args:
            goal: 0 to G - 1.
            shape: (H, W) of the picture.

        Returns:
            (H, W) uint8, 255 on the goal; None, the default: nowhere in particular. Not asked where
            `inputs` are masks, which say it.
        """
        return None


def check_goals(goals: GoalSpace, frame_shape: tuple[int, ...], *, is_picture: bool) -> np.ndarray:
    """Refuses goals that do not fit an environment.

    Args:
        goals: Of it.
        frame_shape: Of one frame, or of the vector.
        is_picture: Whether observations are pictures.

    Returns:
        `GoalSpace.inputs`.

    Raises:
        UserError: naming what does not fit, and what would.
    """
    who = type(goals).__name__
    names = getattr(goals, "names", ())
    if not 1 <= len(names) <= MAX_GOALS:
        raise UserError(f"{who}.names: {len(names)} goals; there must be 1 to {MAX_GOALS}")
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise UserError(f'{who}.names: "{twice[0]}" is there twice; give each goal its own name')
    inputs = np.asarray(goals.inputs())
    wanted = (len(names), *frame_shape[-2:]) if is_picture else (len(names), *inputs.shape[-1:])
    dtype = np.uint8 if is_picture else np.float32
    if inputs.shape != wanted or inputs.dtype != dtype or inputs.ndim < 2:
        what = "masks" if is_picture else "features"
        shown = str(wanted) if is_picture else f"({len(names)}, F)"
        raise UserError(
            f"{who}.inputs: {inputs.dtype} of shape {inputs.shape}; the {what} of {len(names)} "
            f"goals are {np.dtype(dtype)} of shape {shown}"
        )
    return inputs
