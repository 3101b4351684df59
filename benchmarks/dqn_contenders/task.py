"""What all contenders do."""

from __future__ import annotations

from typing import Any, Protocol

NUM_ENVS = 8
BATCH_SIZE = 32
STEPS_PER_UPDATE = 4
LEARNING_STARTS = 2_000
CAPACITY = 50_000
EPSILON = 0.1
LR = 1e-4
GAMMA = 0.99
TARGET_PERIOD = 1_000


class Contender(Protocol):
    """Something that acts and learns."""

    def work(self, seconds: float) -> tuple[int, int]:
        """Works for about so long; environment steps and updates made."""
        ...


def native_env() -> Any:
    """ale-py's vector env of Breakout."""
    from ale_py.vector_env import AtariVectorEnv

    return AtariVectorEnv("breakout", NUM_ENVS, stack_num=4, reward_clipping=True, num_threads=0)


def q_network(num_actions: int) -> Any:
    """The network of all."""
    from algorithms.dqn.q_network import QNetwork

    return QNetwork((4, 84, 84), num_actions)
