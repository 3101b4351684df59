"""Acting: environments stepped in batches, epsilon-greedy, shipped as single frames.

A runner owns the environments, the stacks its network sees, the numbering of its streams (one
stream per sub-environment) and its own random numbers. What leaves it is a
:class:`~algorithms.replay.Fragment`: each frame once, encoded, with what followed it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils import force_list
from ray.rllib.utils.checkpoints import Checkpointable
from ray.tune.registry import ENV_CREATOR, _global_registry

from algorithms.dqn.episodes import Episode, log_episodes
from algorithms.dqn.networks import DQNModule
from algorithms.dqn.pushing import Pushes
from algorithms.dqn.recorder import Recorder
from algorithms.dqn.runner_state import KeepsState
from algorithms.dqn.stacks import FrameStacks, make_frames, observation_space
from algorithms.dqn.trace import EpisodeTrace
from algorithms.envs import FrameStep
from algorithms.replay import Fragment, RecordFlag
from arcadia.cluster import quiet
from arcadia.errors import UserError

if TYPE_CHECKING:
    import gymnasium as gym

    from algorithms.dqn.config import DQNConfig
    from algorithms.dqn.policy import TrainedPolicy

logger = logging.getLogger(__name__)


class DQNRunner(Pushes, KeepsState, EnvRunner, Checkpointable):
    """Steps `num_envs_per_env_runner` environments with an epsilon-greedy policy.

    `sample()` returns a fragment for the replay; `push()` sends it to shards and returns counters;
    `sample(num_episodes=...)` returns finished episodes, for evaluation. `start_step` and
    `finish_step` are a step in two halves, so that one process can learn while the emulator works.
    """

    config: DQNConfig  # type: ignore[assignment]

    def __init__(self, *, config: DQNConfig, **kwargs: Any) -> None:
        quiet()
        super().__init__(config=config, **kwargs)
        self.options = self.config.options
        self.worker_index = self.worker_index or 0
        self.rng = np.random.default_rng(self._seed)
        self._callbacks = [cls() for cls in force_list(self.config.callbacks_class)]
        self._weights_seq_no = self._num_steps = 0  # steps since the last call of get_metrics
        self.make_env()
        self.make_module()
        self.recorder = Recorder(
            self.frames.frame_shape,
            self.frames.frame_dtype,
            self.options.replay_compression if self.frames.stacks else "none",
            first_stream=max(0, self.worker_index - 1) * self.num_envs,
            num_streams=self.num_envs,
        )
        self._actions: np.ndarray | None = None

    # What RLlib asks of an EnvRunner

    def make_env(self) -> None:
        """Makes the environments; they start at the first step."""
        if self.env is not None:
            self.env.close()
        creator = _env_creator(self.config)
        context = EnvContext(self.config.env_config, self.worker_index, 0, False, self.num_workers)
        self.frames = make_frames(
            self.options, lambda i: creator(context.copy_with_overrides(vector_index=i))
        )
        self.env = self.frames
        self.num_envs = self.frames.num_envs
        self.stacks = FrameStacks(self.frames, self.options.frame_stack)
        self._episodes: list[Episode] = []
        self._num_started = 0
        self._trace = EpisodeTrace(self.num_envs)
        self._callback("on_environment_created", env=self.frames, env_context=context)

    def make_module(self) -> None:
        """Makes this runner's own copy of the network."""
        spec = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.modules: dict[str, DQNModule] = {}
        for name, own in (spec.rl_module_specs or {}).items():
            module = own.build()
            assert isinstance(module, DQNModule)
            self.modules[name] = module

    def use_modules(self, modules: Mapping[str, DQNModule]) -> None:
        """Acts with modules that somebody else in this process trains, without a copy."""
        self.modules = dict(modules)

    @property
    def module(self) -> DQNModule:
        """The module that chooses actions."""
        return next(iter(self.modules.values()))

    def get_weights(self) -> dict[str, dict[str, Any]]:
        """By module, its state, in arrays."""
        return {
            name: module.get_state(inference_only=True) for name, module in self.modules.items()
        }

    def take_weights(self, weights: Mapping[str, dict[str, Any]]) -> None:
        """Acts with other weights from now on: by module, its state."""
        for name, module in self.modules.items():
            module.set_state(weights[name])

    def take_policy(self, policy: TrainedPolicy, where: str) -> None:
        """Acts with the networks of a policy.

        Raises:
            UserError: they are not those of the options; `where` says what holds the policy.
        """
        for module, network in zip(self.modules.values(), policy.networks, strict=True):
            try:
                module.online.load_state_dict(network.state_dict())
            except RuntimeError as error:
                said = " ".join(str(error).split())
                raise UserError(
                    f"{where}: holds another network than that of the run's options ({said}); use "
                    "another checkpoint"
                ) from error

    def get_spaces(self) -> dict[str, tuple[gym.Space, gym.Space]]:
        """Spaces of the stacked observations and of the actions."""
        observations = observation_space(self.frames, self.options.frame_stack)
        spaces = (observations, self.frames.action_space)
        return {INPUT_ENV_SPACES: spaces, DEFAULT_MODULE_ID: spaces}

    def assert_healthy(self) -> None:
        """Checks that there is something to step."""
        assert self.env is not None and self.module is not None

    def stop(self) -> None:
        """Closes the environments."""
        self.frames.close()

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        random_actions: bool = False,
        **_: Any,
    ) -> Any:
        """Acts.

        Args:
            num_timesteps: Stop after so many steps in all environments together; None: after one
                step of each.
            num_episodes: Play so many whole episodes instead: those that start first, so that
                short ones are not favoured.
            random_actions: Ignore the network.

        Returns:
            The :class:`Fragment` of the steps taken; in evaluation or with `num_episodes`, the
            list of the finished :class:`Episode`.
        """
        epsilon = 1.0 if random_actions else None
        if num_episodes is not None:
            if self.config.in_evaluation:
                # The same starts each time, also in a resumed run.
                self.rng = np.random.default_rng(self._seed)
            result: Any = self.play_episodes(num_episodes, epsilon)
            self._log(result)
        else:
            episodes = self._act(num_timesteps or self.num_envs, epsilon)
            if self.config.in_evaluation:
                self._log(episodes)
                self.forget()
            result = episodes if self.config.in_evaluation else self.take_fragment()
        self._callback("on_sample_end", samples=result)
        return result

    def _act(self, num_timesteps: int, epsilon: float | None) -> list[Episode]:
        """Takes at least so many steps; the episodes that ended."""
        until = self.num_env_steps_sampled_lifetime + num_timesteps
        episodes: list[Episode] = []
        while self.num_env_steps_sampled_lifetime < until:
            self.start_step(epsilon)
            episodes += self.finish_step()
        return episodes

    # One step in two halves

    def reset(self, seeds: np.ndarray | None = None) -> None:
        """Starts all episodes anew.

        Args:
            seeds: (N,) int64 from 0 to 2**31 - 1, of the sub-environments. None: drawn from this
                runner's own random numbers.
        """
        self._trace.give_up(np.arange(self.num_envs))
        self._start_episodes(seeds)

    def start_step(self, epsilon: float | None = None) -> np.ndarray:
        """Starts the episodes that have to be, chooses actions and starts the environments' step.

        Args:
            epsilon: Chance of a random action; None: the schedule's, or `epsilon_eval` in
                evaluation.

        Returns:
            (N,) int64, the actions.
        """
        if self._trace.is_over.any():
            self._start_episodes()
        if epsilon is None:
            epsilon = self.epsilon
        self._actions = self.choose(epsilon)
        self._trace.note(self._actions)
        self.frames.send(self._actions)
        return self._actions

    def finish_step(self) -> list[Episode]:
        """Waits for the environments, records what happened and counts the steps taken.

        Returns:
            The episodes that ended. The stacks show their last frames until the next step starts
            others.
        """
        assert self._actions is not None, "finish_step without start_step"
        step = self.frames.recv()
        done = step.terminated | step.truncated
        flags = np.where(self.stacks.depth == 0, RecordFlag.FIRST, 0)
        terminal = step.terminated | (step.life_lost & self.options.life_loss_terminal)
        flags |= np.where(terminal, RecordFlag.TERMINATED, 0)
        flags |= np.where(step.truncated, RecordFlag.TRUNCATED, 0)
        self._record(step, flags)
        self.stacks.push(step.frame)
        ended = np.flatnonzero(done)
        self._record_ends(ended)
        for episode, reward in zip(self._episodes, step.reward.tolist(), strict=True):
            self.num_env_steps_sampled_lifetime += 1
            episode.return_ += reward
            episode.length += 1
            episode.end_step = self.num_env_steps_sampled_lifetime
        self._num_steps += self.num_envs
        self._trace.is_over = done
        self._actions = None
        return [self._end_episode(i, bool(step.terminated[i])) for i in ended.tolist()]

    def _record(self, step: FrameStep, flags: np.ndarray) -> None:
        """Records a step; the stacks still show what was acted on.

        Args:
            step: What it brought.
            flags: (N,) `RecordFlag`s.
        """
        assert self._actions is not None
        self.recorder.add(self.stacks.newest, self._actions, step.reward, flags)

    def _record_ends(self, ended: np.ndarray) -> None:
        """Records the last frames of the episodes that ended, (K,)."""
        self.recorder.add_final(ended, self.stacks.newest[ended])

    def forget(self) -> None:
        """Drops what was recorded since the last fragment."""
        self.recorder.forget()

    def take_fragment(self) -> Fragment:
        """The records since the last call, encoded."""
        return self.recorder.take()

    def take_fragments(self) -> dict[str, Fragment]:
        """The same, by the module that learns from it."""
        return {DEFAULT_MODULE_ID: self.take_fragment()}

    def play_episodes(self, num_episodes: int, epsilon: float | None = None) -> list[Episode]:
        """Plays the `num_episodes` that start first, from fresh starts, keeping no frames.

        They do not count as steps of the training. An episode under way is given up: its stream
        has a gap, and the replay closes there.

        Args:
            num_episodes: How many.
            epsilon: Chance of a random action; None: `epsilon_eval`.

        Returns:
            The episodes in the order of their starts.
        """
        steps = self.num_env_steps_sampled_lifetime, self._num_steps
        if epsilon is None:
            epsilon = self.options.epsilon_eval if self.config.explore else 0.0
        last = self._num_started + num_episodes
        self.reset()
        finished: list[Episode] = []
        while len(finished) < num_episodes:
            self.start_step(epsilon)
            finished += [e for e in self.finish_step() if e.index < last]
            self.forget()
        self.num_env_steps_sampled_lifetime, self._num_steps = steps
        self.reset()
        return sorted(finished, key=lambda e: e.index)

    def choose(self, epsilon: float) -> np.ndarray:
        """Epsilon-greedy actions, (N,) int64, for the current stacks."""
        num_actions = self.frames.num_actions
        random = self.rng.random(self.num_envs) < epsilon
        actions = self.rng.integers(num_actions, size=self.num_envs)
        if not random.all():
            greedy = self.q_values(self.stacks.observation).argmax(axis=1)
            actions = np.where(random, actions, greedy)
        return actions

    def q_values(self, observation: np.ndarray) -> np.ndarray:
        """Q-values (B, A) float32 of observations (B, *observation_shape)."""
        device = next(self.module.parameters()).device
        return self.module.q_values(torch.from_numpy(observation).to(device)).cpu().numpy()

    def current_episode(self, i: int) -> Episode:
        """The episode that sub-environment `i` is in or has just ended."""
        return self._episodes[i]

    def play_as(self, player: str) -> float:
        """Becomes one of the players of an evaluation, `policy` or `random`; returns its chance of
        a random action."""
        return 1.0 if player == "random" else self.options.epsilon_eval

    @property
    def epsilon(self) -> float:
        """The chance of a random action now; 0 where RLlib's `explore` is off."""
        if not self.config.explore:
            return 0.0
        if self.config.in_evaluation:
            return self.options.epsilon_eval
        step = self.schedule_step
        return self.options.epsilon(self.num_env_steps_sampled_lifetime if step is None else step)

    # Bookkeeping

    def _log(self, episodes: list[Episode]) -> None:
        recent = [(e.return_, e.length) for e in episodes]
        log_episodes(self.metrics, recent, len(recent))

    def _start_episodes(self, seeds: np.ndarray | None = None) -> None:
        """Starts the next episode where one is over."""
        over = self._trace.is_over.copy()
        self.stacks.start(self.frames.reset(self._trace.start(self.rng, seeds), over), over)
        if not self._episodes:
            self._episodes = [Episode(id_="", index=0, env_index=i) for i in range(self.num_envs)]
        for i in np.flatnonzero(over).tolist():
            name = f"{self.worker_index}-{self._num_started}"
            self._episodes[i] = Episode(id_=name, index=self._num_started, env_index=i)
            self._num_started += 1
            self._tell("on_episode_start", i)

    def _end_episode(self, i: int, terminated: bool) -> Episode:
        episode = self._episodes[i]
        episode.is_terminated, episode.is_truncated = terminated, not terminated
        self._tell("on_episode_end", i)
        return episode

    def _tell(self, name: str, i: int) -> None:
        """Calls back about an episode."""
        about = dict(episode=self._episodes[i], env=self.frames, env_index=i)
        self._callback(name, **about, rl_module=self.module)

    def _callback(self, name: str, **about: Any) -> None:
        own = list(force_list(getattr(self.config, f"callbacks_{name}")))
        kwargs = about | dict(env_runner=self, metrics_logger=self.metrics)
        make_callback(name, self._callbacks, own, kwargs=kwargs)


def _env_creator(config: DQNConfig) -> Callable[[EnvContext], Any]:
    """What makes an environment of those that are played."""
    env = config.env
    if isinstance(env, str) and ":" in env and not _global_registry.contains(ENV_CREATOR, env):
        # RLlib would take module.of_mine:Id-v0 for the path of a class.
        return lambda context: gym.make(env, **context)
    return Algorithm._get_env_id_and_creator(env, config)[1]
