"""What a runner keeps: its counters, random numbers, open episodes and networks."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import ray
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.utils import force_list
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO

from algorithms.dqn.episodes import Episode
from algorithms.dqn.trace import EpisodeTrace
from arcadia.errors import UserError

logger = logging.getLogger(__name__)


class KeepsState:
    """The part of a `DQNRunner` that saves and restores."""

    def get_state(
        self: Any, components: Any = None, *, not_components: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Counters, random numbers, open episodes and, unless excluded, the network."""
        if components is not None and COMPONENT_RL_MODULE not in force_list(components):
            return {}  # RLlib asks for connectors, which there are none of
        state: dict[str, Any] = {
            NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime,
            "rng": self.rng.bit_generator.state,
            "num_episodes_started": self._num_started,
            "sequence": self.recorder.sequence.copy(),
            "open_episodes": self._trace.get_state(self._episodes, self.stacks),
        }
        if COMPONENT_RL_MODULE not in force_list(not_components):
            state[COMPONENT_RL_MODULE] = self.get_weights()
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        return state

    def set_state(self: Any, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave; takes newer weights from a learner.

        Open episodes are played again, from their seeds and actions. One that then shows other
        frames or rewards than it did was not the environment's to repeat: it is cut where it was
        saved, which the replay sees as a truncation, its score is not counted, and a warning says
        so.
        """
        self.num_env_steps_sampled_lifetime = state.get(
            NUM_ENV_STEPS_SAMPLED_LIFETIME, self.num_env_steps_sampled_lifetime
        )
        if "rng" in state:
            self.rng.bit_generator.state = state["rng"]
        if "open_episodes" in state and not self.config.in_evaluation:
            self._num_started = state["num_episodes_started"]
            self._restore_episodes(state["open_episodes"], state["sequence"])
        if COMPONENT_RL_MODULE in state:
            weights = state[COMPONENT_RL_MODULE]
            if isinstance(weights, ray.ObjectRef):
                weights = ray.get(weights)
            self.take_weights(weights)
            self._weights_seq_no = state.get(WEIGHTS_SEQ_NO, self._weights_seq_no)

    def get_ctor_args_and_kwargs(self: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """For RLlib's checkpoints."""
        return (), {"config": self.config}

    def _restore_episodes(self: Any, saved: dict[str, Any] | None, sequence: np.ndarray) -> None:
        """Takes up saved episodes, playing them again; see `set_state`."""
        self.recorder.forget()
        self._episodes = []
        self._trace = EpisodeTrace(self.num_envs)
        if len(sequence) != self.num_envs:
            raise UserError(
                f"num_envs_per_env_runner {self.num_envs}: the checkpoint has {len(sequence)} open "
                "episodes; go on with as many environments"
            )
        self.recorder.sequence = sequence.copy()
        if saved is None:
            return
        self._episodes = [Episode(**values) for values in saved["episodes"]]
        repeated = self._trace.restore(saved, self._episodes, self.frames, self.stacks)
        lost = np.flatnonzero(~repeated)
        if len(lost):
            logger.warning(
                "%d of %d open episodes could not be played again to where they were saved; "
                "they are cut there and new ones begin",
                len(lost),
                self.num_envs,
            )
            self.recorder.add_final(lost, self.stacks.newest[lost])
            self._trace.give_up(lost)
