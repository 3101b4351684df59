"""An episode as callbacks and reports see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Episode:
    """One episode as callbacks and reports see it: its score and length, no frames."""

    id_: str
    index: int
    """Number of the episode in its runner, in the order of their starts."""
    env_index: int
    return_: float = 0.0
    """Sum of the environment's own rewards, never clipped."""
    length: int = 0
    """Steps taken."""
    is_terminated: bool = False
    is_truncated: bool = False
    end_step: int = 0
    """Steps the runner had taken in all with the episode's latest one; no two episodes share it."""

    @property
    def is_done(self) -> bool:
        """Whether the episode ended, by itself or by being cut."""
        return self.is_terminated or self.is_truncated

    def get_return(self) -> float:
        """The score, under the name RLlib's callbacks use."""
        return self.return_

    def env_steps(self) -> int:
        """The length, under the name RLlib uses."""
        return self.length

    agent_steps = env_steps
    __len__ = env_steps
