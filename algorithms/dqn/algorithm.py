"""DQN as an RLlib algorithm: what it is made of, what it reports, what it saves.

The loop that acts, stores and learns at a held ratio is `OneProcess`, or, with `num_env_runners`
actors, `Distributed`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, ClassVar

import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS
from ray.tune import PlacementGroupFactory

from algorithms.dqn.checkpoints import SavesCheckpoints
from algorithms.dqn.config import DQNConfig
from algorithms.dqn.distributed import Distributed
from algorithms.dqn.episodes import SCORES, log_episodes
from algorithms.dqn.held_out import collect_held_out_states, collect_on_a_runner
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.learners import LearnerActors, LocalLearner
from algorithms.dqn.levels import LocalLevel, RemoteLevel
from algorithms.dqn.one_process import OneProcess
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.runner_actors import RunnerActors, play_again_where_actors_die
from algorithms.replay import FrameReplay
from algorithms.replay.shard import make_replay
from algorithms.replay.sharded import ShardedReplay

logger = logging.getLogger(__name__)


class DQN(SavesCheckpoints):
    """Deep Q-learning (Mnih et al. 2013, Algorithm 1) with the options of `DQNOptions`.

    Attributes:
        runner: plays, or, where actors play, knows spaces and network.
        loop: acts, stores and learns.
        held_out: (n, *observation_shape) states whose greatest Q-values are followed; None when
            `held_out_states` is 0.
    """

    config: DQNConfig  # type: ignore[assignment]
    _loop_class: ClassVar[type[OneProcess]] = OneProcess

    @classmethod
    def get_default_config(cls) -> DQNConfig:
        """The preset `fast`, without an environment."""
        return DQNConfig()

    def setup(self, config: AlgorithmConfig) -> None:
        """Builds runners, learners, replay and held-out states."""
        super().setup(config)
        self.options = self.config.options
        runner = self.env_runner
        assert isinstance(runner, DQNRunner)
        self.runner = runner
        assert self.learner_group is not None
        seed, names = self.config.seed, self.level_options()
        self._replay_rngs = {
            name: np.random.default_rng(None if seed is None else [seed, 1 + 10 * i])
            for i, name in enumerate(names)
        }
        self.loop = self._many_processes() if self.options.is_distributed else self._one_process()
        self.held_out = (
            collect_on_a_runner(self.env_runner_group, self.config)
            if self.options.is_distributed
            else collect_held_out_states(self.config)
        )
        self._evaluation: dict[str, float] = {}  # scores of the latest
        self._has_evaluated = False  # in this iteration
        self._recent: deque[tuple[float, int]] = deque(
            maxlen=self.config.metrics_num_episodes_for_smoothing
        )

    def level_options(self) -> dict[str, DQNOptions]:
        """By the name of a module that learns, how it is learned."""
        return {DEFAULT_MODULE_ID: self.options}

    def _one_process(self) -> OneProcess:
        learner = self.learner
        self.runner.use_modules({name: learner.q_module(name) for name in learner.levels})
        levels = {
            name: LocalLevel(
                options,
                learner.levels[name],
                self._make_replay(name),
                first_step=self._first_step(name),
            )
            for name, options in self.level_options().items()
        }
        return self._loop_class(self.runner, levels, overlap=self.options.overlap)

    def _first_step(self, level: str) -> int:
        """Step from which on a level learns."""
        return 0

    def _make_replay(self, level: str) -> FrameReplay:
        return make_replay(**self._replay_arguments(level), rng=self._replay_rngs[level])

    def _many_processes(self) -> Distributed:
        options, seed, group = self.options, self.config.seed, self.learner_group
        assert self.env_runner_group is not None and group is not None
        levels = {
            name: RemoteLevel(name, own, self._make_shards(name), first_step=self._first_step(name))
            for name, own in self.level_options().items()
        }
        if group.is_local:
            learners: LocalLearner | LearnerActors = LocalLearner(self.learner)
        else:
            spec = group._module_spec
            learners = LearnerActors(
                group,
                lambda: self.config.build_learner_group(rl_module_spec=spec),
                options.learner_snapshot_period,
                self._use_learners,
            )
        runners = RunnerActors(self.env_runner_group)
        return self._make_distributed(options, runners, learners, levels, seed)

    def _make_distributed(self, *args: Any) -> Distributed:
        """The loop of many processes, of `Distributed`'s arguments."""
        return Distributed(*args)

    def _make_shards(self, level: str) -> ShardedReplay:
        options, seed, names = self.options, self.config.seed, list(self.level_options())
        return ShardedReplay(
            self.level_options()[level].num_replay_shards,
            self._replay_arguments(level),
            num_streams=options.num_streams,
            seed=None if seed is None else [seed, 2 + 10 * names.index(level)],
            num_cpus=options.num_cpus_per_replay_shard,
            rng=self._replay_rngs[level],
            name=level if len(names) > 1 else "",
        )

    def _use_learners(self, group: LearnerGroup) -> None:
        self.learner_group = group

    def _replay_arguments(self, level: str) -> dict[str, Any]:
        """Of `make_replay`, without its random numbers."""
        options, frames = self.level_options()[level], self.runner.frames
        return dict(
            capacity=options.replay_capacity,
            frame_shape=frames.frame_shape,
            frame_dtype=frames.frame_dtype,
            stack=self.runner.stacks.observation.shape[1],
            n_step=options.n_step,
            gamma=options.gamma,
            clip_rewards=options.clip_rewards,
            compression=options.replay_compression if frames.stacks else "none",
            max_bytes=options.replay_max_bytes,
            priority_exponent=options.priority_exponent if options.prioritized else None,
        )

    @classmethod
    def default_resource_request(cls, config: Any) -> Any:
        """What Tune sets aside for a trial: RLlib's actors, and the shards."""
        request: Any = super().default_resource_request(config)
        own = cls.get_default_config().update_from_dict(config)
        options = own.options
        if not options.is_distributed:
            return request
        cpus = options.num_cpus_per_replay_shard
        shards = [{"CPU": cpus}] * options.num_shards if cpus else []
        return PlacementGroupFactory(
            [*request.bundles, *shards],
            strategy=request.strategy,
        )

    @property
    def learner(self) -> DQNLearner:
        """What learns in this process; there is none where actors learn."""
        assert self.learner_group is not None
        learner = self.learner_group._learner
        assert isinstance(learner, DQNLearner), "learners are actors"
        return learner

    @property
    def replays(self) -> dict[str, FrameReplay | ShardedReplay]:
        """By the name of a module, what it learns from."""
        return {name: level.replay for name, level in self.loop.levels.items()}

    @property
    def replay(self) -> FrameReplay | ShardedReplay:
        """What is learnt from, where one module learns."""
        (replay,) = self.replays.values()
        return replay

    @property
    def num_env_steps(self) -> int:
        """Steps taken in all; with actors, those that a shard has acknowledged."""
        return self.loop.num_env_steps

    @property
    def num_updates(self) -> int:
        """Minibatch updates made in all; with actors, those acknowledged."""
        return sum(self.loop.num_updates.values())

    def training_step(self) -> None:
        """Acts and learns for `steps_per_iteration` steps and logs what happened."""
        start = time.perf_counter()
        steps, updates = self.num_env_steps, self.loop.num_updates
        learned, self._episodes = self.loop.run(self.options.steps_per_iteration)
        seconds = time.perf_counter() - start
        made = {name: number - updates[name] for name, number in self.loop.num_updates.items()}
        self._log(learned, self.num_env_steps - steps, made, seconds)

    def step(self) -> dict[str, Any]:
        """One training iteration.

        Returns:
            RLlib's results; `episodes`, those that ended, each with `step`, `return` and `length`;
            `evaluated`, whether there was an evaluation (`evaluation` keeps the scores of the
            latest one); and `done` once `total_frames` are played, which ends a Tune trial.
        """
        self._has_evaluated = False
        result = super().step()
        result["evaluated"] = self._has_evaluated
        if self._evaluation:  # RLlib's own goes on for one iteration and is nan in the next
            result.setdefault("evaluation", {}).setdefault(ENV_RUNNER_RESULTS, {}).update(
                self._evaluation
            )
        result["episodes"] = [
            {"step": e.end_step, "return": e.return_, "length": e.length} for e in self._episodes
        ]
        result["done"] = self.num_env_steps >= self.options.steps(self.options.total_frames)
        return result

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Plays evaluation episodes; see RLlib's `evaluate`. Actors that die over it are replaced,
        and it is played again."""
        self.loop.settle()  # so that its scores, and a checkpoint kept for them, are of one step
        result = play_again_where_actors_die(
            lambda: super(DQN, self).evaluate(*args, **kwargs),
            self.eval_env_runner_group,
            self.config.evaluation_num_env_runners or 0,
        )
        scores = result[ENV_RUNNER_RESULTS]
        self._evaluation = {name: float(scores[name]) for name in SCORES}
        self._has_evaluated = True
        return result

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """RLlib's, for evaluation; the loop itself looks after the runners it drives."""
        if env_runner_group is self.env_runner_group and self.options.is_distributed:
            return []
        return super().restore_env_runners(env_runner_group)

    def held_out_max_q(self) -> float:
        """Mean over the held-out states of the greatest Q-value (2013, section 5.1)."""
        assert self.held_out is not None, "held_out_states is 0"
        return self.learner.max_q(self.held_out)

    def _latest_max_q(self) -> float | None:
        """The same as far as it is known: actors answer while they learn on."""
        if self.held_out is None:
            return None
        if isinstance(self.loop, OneProcess):
            return self.held_out_max_q()
        return self.loop.max_q(self.held_out)

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, this algorithm's counters and the held-out states; not the replay, which
        `save_to_path` keeps in files of its own."""
        own = {
            **self.loop.get_state(),
            "recent_episodes": list(self._recent),
            "replay_rng": {n: rng.bit_generator.state for n, rng in self._replay_rngs.items()},
            "held_out": self.held_out,
            "evaluation": self._evaluation,
        }
        return super().get_state(*args, **kwargs) | {"dqn": own}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave, also with another number of runners or learners."""
        super().set_state(state)
        if own := state.get("dqn"):
            self._recent.clear()
            self._recent.extend(own["recent_episodes"])
            for name, rng in self._replay_rngs.items():
                rng.bit_generator.state = own["replay_rng"][name]
            self.held_out = own["held_out"]
            self._evaluation = own.get("evaluation", {})
            self.loop.set_state(own)

    def cleanup(self) -> None:
        """Ends all actors."""
        if hasattr(self, "loop"):
            self.loop.stop()
        super().cleanup()

    def _log(
        self,
        learned: dict[str, list[dict[str, float]]],
        steps: int,
        updates: dict[str, int],
        seconds: float,
    ) -> None:
        log = self.metrics.log_value
        # All that runners and callbacks logged; scores are reported here, see log_episodes.
        logged = [
            {name: value for name, value in metrics.items() if name not in SCORES}
            for metrics in self.loop.runner_metrics()
        ]
        if logged:
            self.metrics.aggregate(logged, key=ENV_RUNNER_RESULTS)
        self._recent.extend((e.return_, e.length) for e in self._episodes)
        log_episodes(self.metrics, self._recent, len(self._episodes), (ENV_RUNNER_RESULTS,))
        if self.loop.epsilon is not None:
            log((ENV_RUNNER_RESULTS, "epsilon"), self.loop.epsilon, window=1)
        log((ENV_RUNNER_RESULTS, "env_steps_per_s"), steps / seconds, window=1)
        for level, number in self.loop.num_updates.items():
            calls, learner = learned[level], (LEARNER_RESULTS, level)
            for name in calls[0].keys() - {"num_updates"} if calls else ():
                log((*learner, name), float(np.mean([r[name] for r in calls])), window=1)
            log((*learner, "num_updates"), number, window=1)
            log((*learner, "updates_per_s"), updates[level] / seconds, window=1)
        if (max_q := self._latest_max_q()) is not None:
            log((LEARNER_RESULTS, DEFAULT_MODULE_ID, "held_out_max_q"), max_q, window=1)
        replays = self.replays.values()
        log(("replay", "num_transitions"), sum(map(len, replays)), window=1)
        log(("replay", "num_bytes"), sum(replay.nbytes for replay in replays), window=1)
        for name, value in self.loop.faults().items():
            log(("faults", name), value, window=1)
