"""DQN with frame skip and frame stack (Mnih et al. 2013), as an RLlib algorithm.

The names are loaded at first use, so that the command line can show its options without
importing Ray and torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from algorithms.dqn.options import DQNOptions
from algorithms.dqn.presets import preset

if TYPE_CHECKING:
    from algorithms.dqn.algorithm import DQN
    from algorithms.dqn.config import DQNConfig
    from algorithms.dqn.policy import load_policy

__all__ = ["DQN", "DQNConfig", "DQNOptions", "load_policy", "preset"]


_WHERE = {
    "DQN": "algorithms.dqn.algorithm",
    "DQNConfig": "algorithms.dqn.config",
    "load_policy": "algorithms.dqn.policy",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
