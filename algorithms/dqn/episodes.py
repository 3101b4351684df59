"""An episode as callbacks and reports see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import fmean

from ray.rllib.utils.metrics import (
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MAX,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    NUM_EPISODES,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger


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
    """Steps the runner had taken in all with the episode's latest one; no two episodes share it,
    but where a replay shard died with the steps that were on their way to it."""
    goals: list[tuple[int, bool]] = field(default_factory=list)
    """Goals that came to their ends, of h-DQN, and whether they were reached."""

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


SCORES = (
    NUM_EPISODES,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    EPISODE_RETURN_MAX,
    EPISODE_LEN_MEAN,
)
"""The metrics that `log_episodes` reports."""


def log_episodes(
    metrics: MetricsLogger,
    recent: Sequence[tuple[float, int]],
    num_new: int,
    prefix: tuple[str, ...] = (),
) -> None:
    """Reports scores in RLlib's metrics, under its own names; nan before the first game has ended.

    The window is the caller's: RLlib's own are emptied at each report, so that any in which no
    episode ended would say nan. The names are there from the first report on, because Tune ends a
    sweep whose first result lacks its metric.

    Args:
        metrics: Where to.
        recent: (return, length) of the latest episodes.
        num_new: How many of them ended since the last report.
        prefix: Keys before the names.
    """
    metrics.log_value((*prefix, NUM_EPISODES), num_new, reduce="sum")
    returns, lengths = zip(*(recent or [(nan, nan)]), strict=True)
    for name, value in (
        (EPISODE_RETURN_MEAN, fmean(returns)),
        (EPISODE_RETURN_MIN, min(returns)),
        (EPISODE_RETURN_MAX, max(returns)),
        (EPISODE_LEN_MEAN, fmean(lengths)),
    ):
        metrics.log_value((*prefix, name), value, window=1)
