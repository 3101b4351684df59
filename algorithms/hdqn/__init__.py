"""Hierarchical DQN (Kulkarni et al. 2016), as an RLlib algorithm.

The names are loaded at first use, so that the command line can show its options without
importing Ray and torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algorithms.envs.vector import Moment
    from algorithms.hdqn.algorithm import HDQN
    from algorithms.hdqn.config import HDQNConfig
    from algorithms.hdqn.critic import Critic, CriticOptions, PredicateGoals
    from algorithms.hdqn.goals import GoalSpace
    from algorithms.hdqn.options import HDQNOptions
    from algorithms.hdqn.policy import load_policy

__all__ = [
    "HDQN",
    "Critic",
    "CriticOptions",
    "GoalSpace",
    "HDQNConfig",
    "HDQNOptions",
    "Moment",
    "PredicateGoals",
    "load_policy",
]

_WHERE = {
    "HDQN": "algorithms.hdqn.algorithm",
    "HDQNConfig": "algorithms.hdqn.config",
    "HDQNOptions": "algorithms.hdqn.options",
    "Critic": "algorithms.hdqn.critic",
    "CriticOptions": "algorithms.hdqn.critic",
    "PredicateGoals": "algorithms.hdqn.critic",
    "GoalSpace": "algorithms.hdqn.goals",
    "load_policy": "algorithms.hdqn.policy",
    "Moment": "algorithms.envs.vector",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
