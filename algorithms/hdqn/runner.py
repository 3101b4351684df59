"""Acting on two levels: the meta-controller picks a goal, the controller acts until it is reached.

What differs from DQN's runner: who chooses the actions, what the controller's records pay (what the
critic pays), and a second recorder, for the meta-controller. One of its records holds the whole
state in which a goal was chosen; its reward is what the environment paid while the goal was
pursued, its duration the steps that took. The record after it is of the state in which the goal
ended, which is where the next is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.env import INPUT_ENV_SPACES

from algorithms.dqn.pushing import Report
from algorithms.dqn.recorder import Recorder
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.stacks import observation_space
from algorithms.envs import FrameStep
from algorithms.envs.vector import Moment
from algorithms.hdqn.critic import Critic
from algorithms.hdqn.goals import check_goals
from algorithms.hdqn.joined import joined_space
from algorithms.hdqn.networks import ControllerModule
from algorithms.hdqn.options import CONTROLLER, META, HDQNOptions
from algorithms.hdqn.policy import HierarchicalPolicy
from algorithms.hdqn.statistics import GoalStatistics, Outcome, goal_epsilon
from algorithms.replay import Fragment, RecordFlag

if TYPE_CHECKING:
    from algorithms.dqn.policy import TrainedPolicy
    from algorithms.hdqn.config import HDQNConfig

_NO_GOAL = -1
_KEPT = ("goal", "_is_first_goal", "_goal_start", "_goal_return", "_goal_steps")


class HDQNRunner(DQNRunner):
    """Steps environments with both levels; see the module.

    Attributes:
        goal: (N,) int64, the goal that each environment's controller pursues; -1 where one has to
            be chosen.
        goal_epsilon: (G,) float64, chance of a random action by goal.
        outcomes: What became of goals since the last `take_outcomes`.
        paid: (N,) float32, what the critic paid for the latest step.
        random_goals: Pick every goal at random, whatever the chance of random actions.
    """

    config: HDQNConfig  # type: ignore[assignment]
    options: HDQNOptions  # type: ignore[assignment]

    def make_env(self) -> None:
        """Makes the environments and their goals."""
        self.goals = self.config.make_goals()  # first: its module may register the environment
        super().make_env()
        shape = self.frames.frame_shape
        self.goal_inputs = check_goals(self.goals, shape, is_picture=self.frames.stacks)
        self.critic = Critic(self.goals, self.options.critic)
        num_goals = len(self.goals.names)
        self.statistics = GoalStatistics(self.goals.names)
        self.goal_epsilon = np.ones(num_goals)
        self.outcomes: list[Outcome] = []
        self.paid = np.zeros(self.num_envs, np.float32)
        self.random_goals = False
        self.goal = np.full(self.num_envs, _NO_GOAL)
        self._is_first_goal = np.ones(self.num_envs, bool)  # of its episode
        self._goal_start = np.zeros_like(self.stacks.observation)
        self._goal_return = np.zeros(self.num_envs)
        self._goal_steps = np.zeros(self.num_envs, np.int64)
        self._moments: list[Moment] = []
        first = max(0, self.worker_index - 1) * self.num_envs
        self.meta_recorder = Recorder(
            self.stacks.observation.shape[1:],
            self.frames.frame_dtype,
            self.options.replay_compression if self.frames.stacks else "none",
            first_stream=first,
            num_streams=self.num_envs,
        )

    def take_policy(self, policy: TrainedPolicy, where: str) -> None:
        """Acts with the networks of a policy of the same goals."""
        assert isinstance(policy, HierarchicalPolicy)
        policy.check_goals(self.goals.names, self.goal_inputs, where)
        super().take_policy(policy, where)

    def play_as(self, player: str) -> float:
        """As DQN's; `controller` is the policy with every goal picked at random."""
        self.random_goals = player == "controller"
        return super().play_as(player)

    def get_spaces(self) -> dict[str, tuple[gym.Space, gym.Space]]:
        """Of the controller, states with a goal, and actions; of the meta-controller, states, and
        goals."""
        states = observation_space(self.frames, self.options.frame_stack)
        return {
            INPUT_ENV_SPACES: (states, self.frames.action_space),
            CONTROLLER: (joined_space(states, self.goal_inputs), self.frames.action_space),
            META: (states, gym.spaces.Discrete(len(self.goals.names))),
        }

    @property
    def controller(self) -> ControllerModule:
        """The module that chooses actions."""
        module = self.modules[CONTROLLER]
        assert isinstance(module, ControllerModule)
        return module

    @property
    def meta_epsilon(self) -> float:
        """Chance of a random goal now."""
        if not self.config.explore:
            return 0.0
        if self.config.in_evaluation:
            return self.options.epsilon_eval
        step = self.schedule_step
        return self.options.meta_epsilon(
            self.num_env_steps_sampled_lifetime if step is None else step
        )

    @property
    def epsilon(self) -> float | None:  # type: ignore[override]
        """Chance of a random action now; None: it hangs on the goal, see `goal_epsilon`."""
        if self.config.in_evaluation or not self.config.explore:
            return super().epsilon
        return None

    def choose(self, epsilon: float | None) -> np.ndarray:
        """Actions, (N,) int64, towards the goals; picks goals first where there are none.

        Args:
            epsilon: Chance of a random action, and of a random goal; None: that of each goal, and
                the schedule's.
        """
        self._moments = self._moments or self._look()
        goal_chance = self.meta_epsilon if epsilon is None else epsilon
        self._pick_goals(1.0 if self.random_goals else goal_chance)
        chances = self.goal_epsilon[self.goal] if epsilon is None else epsilon
        random = self.rng.random(self.num_envs) < chances
        actions = self.rng.integers(self.frames.num_actions, size=self.num_envs)
        if not random.all():
            greedy = self.q_values(self.stacks.observation).argmax(axis=1)
            actions = np.where(random, actions, greedy)
        return actions

    def q_values(self, observation: np.ndarray) -> np.ndarray:
        """Q-values (N, A) float32 of the controller, towards the goals that are pursued."""
        device = self.controller.goal_inputs.device
        state, goal = (torch.from_numpy(x).to(device) for x in (observation, self.goal))
        return self.controller.q_values_of(state, goal).cpu().numpy()

    def goal_values(self, observation: np.ndarray) -> np.ndarray:
        """Q-values (B, G) float32 of the meta-controller."""
        meta = self.modules[META]
        device = next(meta.parameters()).device
        return meta.q_values(torch.from_numpy(observation).to(device)).cpu().numpy()

    def _pick_goals(self, epsilon: float) -> None:
        where = np.flatnonzero(self.goal == _NO_GOAL)
        if not len(where):
            return
        random = self.rng.random(len(where)) < epsilon
        goals = self.rng.integers(len(self.goals.names), size=len(where))
        if not random.all():
            greedy = self.goal_values(self.stacks.observation[where]).argmax(axis=1)
            goals = np.where(random, goals, greedy)
        self.goal[where] = goals
        self._goal_start[where] = self.stacks.observation[where]
        self._goal_return[where], self._goal_steps[where] = 0.0, 0

    def _look(self) -> list[Moment]:
        """What the environments show now, as the goals are judged by it."""
        wanted = {"screen": True} if self.goals.needs_screen else {}
        return self.frames.moments(**wanted)  # type: ignore[attr-defined]

    def _start_episodes(self, seeds: np.ndarray | None = None) -> None:
        over = self._trace.is_over.copy()
        super()._start_episodes(seeds)
        self.goal[over], self._is_first_goal[over] = _NO_GOAL, True
        self._moments = []

    def _record(self, step: FrameStep, flags: np.ndarray) -> None:
        """Records the controller's step with what the critic pays for it, and the meta-controller's
        where a goal came to its end."""
        before, self._moments = self._moments, self._look()
        died = step.life_lost | (step.terminated & (self.options.game is not None))
        judged = [
            self.critic.judge(then, now, goal, died=lost)
            for then, now, goal, lost in zip(
                before, self._moments, self.goal.tolist(), died.tolist(), strict=True
            )
        ]
        reached = np.array([judgement.reached for judgement in judged])
        self.paid = np.array([judgement.reward for judgement in judged], np.float32)
        options = self.options
        by_step = options.meta_discount == "step"
        discount = options.meta_gamma**self._goal_steps if by_step else 1.0
        self._goal_return += discount * step.reward
        self._goal_steps += 1
        done = step.terminated | step.truncated
        given_up = ~(reached | done)
        given_up &= self._goal_steps >= (options.max_goal_steps or np.inf)
        assert self._actions is not None
        flags = flags | np.where(reached, RecordFlag.TERMINATED, 0)
        flags |= np.where(given_up, RecordFlag.TRUNCATED, 0)
        goals = self.goal.copy()
        self.recorder.add(self.stacks.newest, self._actions, self.paid, flags, goals=goals)
        ended = np.flatnonzero(reached | done | given_up)
        self._record_goals(ended, step)
        for i in ended.tolist():
            outcome = Outcome(int(self.goal[i]), bool(reached[i]))
            self.outcomes.append(outcome)
            self._episodes[i].goals.append((outcome.goal, outcome.reached))  # plain, for files
        self.goal[ended], self._is_first_goal[ended] = _NO_GOAL, False

    def _record_goals(self, ended: np.ndarray, step: FrameStep) -> None:
        """Records the goals that came to their ends, (K,)."""
        if not len(ended):
            return
        flags = np.where(self._is_first_goal[ended], RecordFlag.FIRST, 0)
        flags |= np.where(step.terminated[ended], RecordFlag.TERMINATED, 0)
        flags |= np.where(step.truncated[ended], RecordFlag.TRUNCATED, 0)
        self.meta_recorder.add(
            self._goal_start[ended],
            self.goal[ended],
            self._goal_return[ended],
            flags,
            durations=self._goal_steps[ended],
            index=ended,
        )

    def _record_ends(self, ended: np.ndarray) -> None:
        super()._record_ends(ended)
        self.meta_recorder.add_final(ended, self.stacks.observation[ended])

    def forget(self) -> None:
        """Drops what both levels recorded since the last fragments."""
        super().forget()
        self.meta_recorder.forget()
        self.outcomes = []

    def take_fragments(self) -> dict[str, Fragment]:
        """By level, the records since the last call; of the meta-controller, where there are any,
        which hear of the goals' ends."""
        fragments = {CONTROLLER: self.take_fragment()}
        if self.meta_recorder.has_records:
            fragments[META] = self.meta_recorder.take()
        return fragments

    def take_outcomes(self) -> list[Outcome]:
        """What became of goals since the last call."""
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def hear_of_goals(self, outcomes: Sequence[Outcome]) -> None:
        """Counts what became of goals, and explores the less the better they are reached."""
        self.statistics.add(outcomes)
        step, options = self.schedule_step, self.options
        most = options.epsilon(self.num_env_steps_sampled_lifetime if step is None else step)
        rates = self.statistics.success_rate
        self.goal_epsilon = goal_epsilon(rates, most, options.goal_epsilon_floor)

    def push(self, *args: Any, goal_epsilon: np.ndarray, **kwargs: Any) -> Report:
        """As DQN's; reports what became of goals, too.

        Args:
            *args: As there.
            goal_epsilon: (G,) float64, chance of a random action by goal, by what became of the
                goals of all runners.
            **kwargs: As there.
        """
        self.goal_epsilon = goal_epsilon
        report = super().push(*args, **kwargs)
        report.outcomes = self.take_outcomes()
        for episode in report.episodes:
            episode.goals.clear()  # they are there already
        return report

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """DQN's, and the goals that are pursued."""
        state = super().get_state(*args, **kwargs)
        if state:
            state["goals"] = {name: getattr(self, name).copy() for name in _KEPT}
            state["meta_sequence"] = self.meta_recorder.sequence.copy()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        if "goals" in state and not self.config.in_evaluation:
            for name in _KEPT:
                getattr(self, name)[:] = state["goals"][name]
            self.meta_recorder.forget()
            self.meta_recorder.sequence[:] = state["meta_sequence"]
            self._moments = []
