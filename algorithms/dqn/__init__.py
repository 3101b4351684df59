"""DQN with frame skip and frame stack (Mnih et al. 2013), as an RLlib algorithm.

The names are loaded at first use, so that the command line can show its options without
importing Ray and torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.presets import preset

if TYPE_CHECKING:
    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.config import DQNConfig

__all__ = ["DQN", "DQNConfig", "DQNOptions", "preset"]


def __getattr__(name: str) -> Any:
    if name == "DQN":
        from algorithms.dqn.algorithm import DQN

        return DQN
    if name == "DQNConfig":
        from algorithms.dqn.config import DQNConfig

        return DQNConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
