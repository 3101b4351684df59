"""The options of h-DQN: those of DQN, which are its controller's, and its own.

Source: Kulkarni et al. 2016, *Hierarchical Deep Reinforcement Learning* (arXiv:1604.06057),
sections 3 and 4. Where the paper and the notes on it differ, both are said.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from algorithms.dqn.option_values import check_range
from algorithms.dqn.options import DQNOptions
from algorithms.hdqn.critic import CriticOptions
from arcadia.errors import UserError

CONTROLLER, META = "controller", "meta"
"""Names of the two modules."""

_INF = float("inf")
_RANGES: dict[str, tuple[float, float]] = {
    "intrinsic_reward": (0, 1e6),
    "step_cost": (0, 1e6),
    "death_penalty": (0, 1e6),
    "max_goal_steps": (1, _INF),
    "goal_epsilon_floor": (0, 1),
    "phase1_frames": (0, _INF),
    "meta_gamma": (0, 1),
    "meta_lr": (1e-12, 10),
    "meta_batch_size": (1, _INF),
    "meta_updates_per_step": (1e-6, 1e3),
    "meta_updates_per_call": (1, 10_000),
    "meta_target_update_period": (0, _INF),
    "meta_replay_capacity": (1, _INF),
    "meta_num_replay_shards": (1, 10_000),
    "meta_learning_starts": (0, _INF),
    "meta_epsilon_start": (0, 1),
    "meta_epsilon_end": (0, 1),
    "meta_epsilon_decay_frames": (0, _INF),
}


@dataclass(frozen=True, kw_only=True)
class HDQNOptions(DQNOptions):
    """All options of h-DQN. Those of DQN are the controller's, and where both levels run."""

    algorithm_name: ClassVar[str] = "h-DQN"
    env: str | None = None
    """KeyDoor-v0, Chain-v0, or, with goals of your own, any other environment as for DQN. The
    command takes a game here too, such as montezuma_revenge. Give either this or a game."""
    emulator: Literal["vector", "ram"] = "ram"
    """ram: the plain emulator, whose memory says where things are; h-DQN takes no other."""
    clip_rewards: bool = False
    """Whether the meta-controller learns from the signs of what the environment paid for its goals,
    instead of the sums."""
    held_out_states: int = 0
    """Not of h-DQN, whose values hang on goals."""

    # Goals
    epsilon_end: float = 0.1
    """What the schedule of the controller's exploration comes down to."""
    epsilon_decay_frames: int = 1_000_000
    """Frames over which it does; see goal_epsilon_floor."""
    goals: str | None = None
    """The goals, module:Class of a GoalSpace, in the current folder or installed; by default those
    that come with the environment."""
    reached_by: Literal["overlap", "distance"] = "overlap"
    """When the agent has reached an object of Montezuma's Revenge: their boxes overlap, or their
    centres are less than 9 pixels apart (the authors' code)."""
    intrinsic_reward: float = 1.0
    """What the critic pays the controller for reaching its goal (the authors' code: 50)."""
    step_cost: float = 0.0
    """What it takes at every step (the authors' code: 0.1)."""
    death_penalty: float = 0.0
    """What it takes where the agent dies (the authors' code: 200)."""
    max_goal_steps: int | None = None
    """Steps after which a goal is given up; by default only when the episode ends (the paper)."""
    goal_epsilon_floor: float = 0.1
    """Least chance of a random action while a goal is pursued; above it, what the goal's latest
    hundred tries failed by, but at most what the schedule of epsilon_start, epsilon_end and
    epsilon_decay_frames has come down to (epsilon_end 1: no schedule)."""
    phase1_frames: int = 1_000_000
    """Frames in which goals are chosen at random and only the controller learns; after them both
    learn. The paper's take about 2.3 M steps on Montezuma's Revenge."""

    # The meta-controller
    meta_gamma: float = 0.99
    """Discount of the meta-controller (0 to 1); the notes on the paper also say 0.9."""
    meta_discount: Literal["goal", "step"] = "goal"
    """Whether meta_gamma is for each goal, or for each step of the environment as in a semi-Markov
    decision process: then also among the rewards of one goal."""
    meta_lr: float = 2.5e-4
    """Learning rate of the meta-controller (the paper's, of both levels)."""
    meta_batch_size: int = 32
    """Transitions in a minibatch of the meta-controller."""
    meta_updates_per_step: float = 0.02
    """Minibatch updates of the meta-controller for every step of the environment, in phase 2."""
    meta_updates_per_call: int = 1
    """Minibatches of the meta-controller in one call."""
    meta_target_update_period: int = 500
    """Updates of the meta-controller between copies to its target network; 0: none."""
    meta_replay_capacity: int = 50_000
    """Transitions of the meta-controller kept (the paper: 50,000; the notes also say 40,000)."""
    meta_num_replay_shards: int = 1
    """Actors that hold the meta-controller's replay among them, beside the num_replay_shards of the
    controller's, once there are num_env_runners. Each takes num_cpus_per_replay_shard."""
    meta_learning_starts: int = 200
    """Transitions of the meta-controller before its first update."""
    meta_epsilon_start: float = 1.0
    """Chance of a random goal when phase 2 begins."""
    meta_epsilon_end: float = 0.1
    """The same from meta_epsilon_decay_frames later on (the paper)."""
    meta_epsilon_decay_frames: int = 500_000
    """Frames of phase 2 over which it falls."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in _RANGES.items():
            check_range(name, getattr(self, name), *allowed)
        if self.reached_by not in ("overlap", "distance"):
            raise UserError(f"reached_by {self.reached_by!r}: must be one of overlap, distance")
        if self.meta_discount not in ("goal", "step"):
            raise UserError(f"meta_discount {self.meta_discount!r}: must be one of goal, step")
        if self.emulator != "ram":
            raise UserError(
                f'emulator "{self.emulator}": shows goals no memory; h-DQN plays on "ram", as fast '
                "for each core"
            )
        if self.held_out_states:
            raise UserError(
                f"held_out_states {self.held_out_states}: h-DQN follows none, because its values "
                "hang on goals; leave it out"
            )
        if self.prioritized:
            raise UserError(
                "prioritized True: h-DQN replays uniformly, as the paper does; leave it out"
            )
        if self.num_learners and self.meta_batch_size % self.num_learners:
            raise UserError(
                f"num_learners {self.num_learners}: cannot share a meta_batch_size of "
                f"{self.meta_batch_size} evenly; give a number that divides it"
            )
        _ = self.meta  # its own contradictions

    @property
    def controller(self) -> DQNOptions:
        """How the controller is learned."""
        return DQNOptions(**self._of_dqn())

    @property
    def meta(self) -> DQNOptions:
        """How the meta-controller is learned."""
        own: dict[str, Any] = {
            "gamma": self.meta_gamma,
            "lr": self.meta_lr,
            "lr_schedule": "constant",
            "batch_size": self.meta_batch_size,
            "updates_per_step": self.meta_updates_per_step,
            "updates_per_call": self.meta_updates_per_call,
            "target_update_period": self.meta_target_update_period,
            "double": self.double and self.meta_target_update_period > 0,
            "replay_capacity": self.meta_replay_capacity,
            "num_replay_shards": self.meta_num_replay_shards,
            "learning_starts": self.meta_learning_starts,
            "n_step": 1,
        }
        if self.anneal is not None and self.anneal_updates is None:
            steps = self.steps(self.total_frames) - self.phase1_steps  # in which it learns
            own["anneal_updates"] = max(round(self.meta_updates_per_step * steps), 1)
        try:
            return DQNOptions(**(self._of_dqn() | own))
        except UserError as error:
            names = "|".join(name for name in own if hasattr(self, f"meta_{name}"))
            said = re.sub(rf"\b(?<!meta_)({names})\b", r"meta_\1", str(error))
            raise UserError(said) from None

    @property
    def num_shards(self) -> int:
        """Actors that hold the replays of both levels."""
        return self.num_replay_shards + self.meta_num_replay_shards

    @property
    def critic(self) -> CriticOptions:
        """What the controller is paid."""
        return CriticOptions(
            intrinsic_reward=self.intrinsic_reward,
            step_cost=self.step_cost,
            death_penalty=self.death_penalty,
        )

    @property
    def phase1_steps(self) -> int:
        """Steps of phase 1."""
        return self.steps(self.phase1_frames)

    def meta_epsilon(self, step: int) -> float:
        """Chance of a random goal after `step` steps: 1 in phase 1, then falling."""
        later = step - self.phase1_steps
        if later < 0:
            return 1.0
        done = min(1.0, later / max(1, self.steps(self.meta_epsilon_decay_frames)))
        return self.meta_epsilon_start + done * (self.meta_epsilon_end - self.meta_epsilon_start)

    def _of_dqn(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(DQNOptions)}
