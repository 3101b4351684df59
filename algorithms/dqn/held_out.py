"""The held-out states on which the mean greatest Q-value is followed.

Mnih et al. 2013, section 5.1: "We collect a fixed set of states by running a random policy before
training starts and track the average of the maximum predicted Q for these states."
"""

from __future__ import annotations

import numpy as np
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.runner import DQNRunner

_KEPT_FRACTION = 0.1  # neighbouring frames would be nearly the same state


def collect_held_out_states(config: DQNConfig) -> np.ndarray | None:
    """Plays at random and keeps a tenth of the states, drawn at random.

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
    own.callbacks_class = []  # these games are nobody's
    for name in vars(own):
        if name.startswith("callbacks_on_"):
            setattr(own, name, None)
    runner = DQNRunner(config=own, worker_index=0)
    states: list[np.ndarray] = []
    while len(states) < options.held_out_states:
        runner.start_step(epsilon=1.0)
        runner.finish_step()
        runner.take_fragment()
        # At random, so that episodes of one length do not always show the same moment.
        kept = runner.rng.random(runner.num_envs) < _KEPT_FRACTION
        states.extend(runner.stacks.observation[kept].copy())
    runner.stop()
    return np.stack(states[: options.held_out_states])


def collect_on_a_runner(group: EnvRunnerGroup | None, config: DQNConfig) -> np.ndarray | None:
    """As `collect_held_out_states`, played by the first of the remote runners."""
    if config.options.held_out_states == 0:
        return None
    assert group is not None
    (states,) = group.foreach_env_runner(
        lambda _: collect_held_out_states(config), remote_worker_ids=[1], local_env_runner=False
    )
    return states
