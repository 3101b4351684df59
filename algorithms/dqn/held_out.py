"""The held-out states on which the mean greatest Q-value is followed.

Mnih et al. 2013, section 5.1: "We collect a fixed set of states by running a random policy before
training starts and track the average of the maximum predicted Q for these states."
"""

from __future__ import annotations

import numpy as np

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.runner import DQNRunner

_STEPS_BETWEEN = 10  # neighbouring frames would be nearly the same state


def collect_held_out_states(config: DQNConfig) -> np.ndarray | None:
    """Plays at random and keeps every tenth state of each environment.

    Args:
        config: What is played; `held_out_states` and `held_out_seed` say how much and which.

    Returns:
        (held_out_states, *observation_shape), the same for the same seed and environment; None when
        `held_out_states` is 0.
    """
    options = config.options
    if options.held_out_states == 0:
        return None
    own = config.copy(copy_frozen=False).debugging(seed=options.held_out_seed)
    own.callbacks_class = []
    runner = DQNRunner(config=own, worker_index=0)
    states: list[np.ndarray] = []
    while len(states) * runner.num_envs < options.held_out_states:
        for _ in range(_STEPS_BETWEEN):
            runner.start_step(epsilon=1.0)
            runner.finish_step()
        runner.take_fragment()
        states.append(runner.stacks.observation.copy())
    runner.stop()
    return np.concatenate(states)[: options.held_out_states]
