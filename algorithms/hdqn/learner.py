"""The learner of both levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.options import DQNOptions
from algorithms.hdqn.options import CONTROLLER, META

if TYPE_CHECKING:
    from algorithms.hdqn.config import HDQNConfig


class HDQNLearner(DQNLearner):
    """Updates controller and meta-controller, each by calls of its own."""

    config: HDQNConfig  # type: ignore[assignment]

    def level_options(self) -> dict[str, DQNOptions]:
        """How each is learned."""
        options = self.config.options
        return {CONTROLLER: options.controller, META: options.meta}
