"""DQN as an RLlib algorithm: what it is made of, what it reports, what it saves.

The loop that acts, stores and learns at a held ratio is `OneProcess`, or, with `num_env_runners`
actors, `Distributed`.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import ray
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS
from ray.tune import PlacementGroupFactory

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.distributed import Distributed
from algorithms.dqn.episodes import SCORES, log_episodes
from algorithms.dqn.held_out import collect_held_out_states, collect_on_a_runner
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.learners import LearnerActors, LocalLearner
from algorithms.dqn.one_process import OneProcess
from algorithms.dqn.policy import check_game, read_policy, write_policy
from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.runner_actors import RunnerActors, play_again_where_actors_die
from algorithms.replay import FrameReplay, PrioritizedReplay
from algorithms.replay.reshard import reshard
from algorithms.replay.shard import make_replay
from algorithms.replay.sharded import ShardedReplay, saved_folders

logger = logging.getLogger(__name__)

_REPLAY = "replay"  # folder of the replay's files in a checkpoint


class DQN(Algorithm):
    """Deep Q-learning (Mnih et al. 2013, Algorithm 1) with the options of `DQNOptions`.

    Attributes:
        runner: plays, or, where actors play, knows spaces and network.
        loop: acts, stores and learns.
        held_out: (n, *observation_shape) states whose greatest Q-values are followed; None when
            `held_out_states` is 0.
    """

    config: DQNConfig  # type: ignore[assignment]

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
        seed = self.config.seed
        self._replay_rng = np.random.default_rng(None if seed is None else [seed, 1])
        self.loop = self._many_processes() if self.options.is_distributed else self._one_process()
        self.held_out = (
            collect_on_a_runner(self.env_runner_group, self.config)
            if self.options.is_distributed
            else collect_held_out_states(self.config)
        )
        self._max_q: Any = None
        self._evaluation: dict[str, float] = {}  # scores of the latest
        self._has_evaluated = False  # in this iteration
        self._recent: deque[tuple[float, int]] = deque(
            maxlen=self.config.metrics_num_episodes_for_smoothing
        )

    def _one_process(self) -> OneProcess:
        replay = make_replay(**self._replay_arguments(), rng=self._replay_rng)
        return OneProcess(self.options, self.runner, self.learner, replay)

    def _many_processes(self) -> Distributed:
        options, seed, group = self.options, self.config.seed, self.learner_group
        assert self.env_runner_group is not None and group is not None
        replay = ShardedReplay(
            options.num_replay_shards,
            self._replay_arguments(),
            num_streams=options.num_streams,
            seed=seed,
            num_cpus=options.num_cpus_per_replay_shard,
            rng=self._replay_rng,
        )
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
        return Distributed(options, RunnerActors(self.env_runner_group), learners, replay, seed)

    def _use_learners(self, group: LearnerGroup) -> None:
        self.learner_group = group

    def _replay_arguments(self) -> dict[str, Any]:
        """Of `make_replay`, without its random numbers."""
        options, frames = self.options, self.runner.frames
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
        shards = [{"CPU": cpus}] * options.num_replay_shards if cpus else []
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
    def replay(self) -> FrameReplay | ShardedReplay:
        """What is learnt from."""
        return self.loop.replay

    @property
    def num_env_steps(self) -> int:
        """Steps taken in all; with actors, those that a shard has acknowledged."""
        return self.loop.num_env_steps

    @property
    def num_updates(self) -> int:
        """Minibatch updates made in all; with actors, those acknowledged."""
        return self.loop.num_updates

    def training_step(self) -> None:
        """Acts and learns for `steps_per_iteration` steps and logs what happened."""
        start = time.perf_counter()
        steps, updates = self.num_env_steps, self.num_updates
        learned, self._episodes = self.loop.run(self.options.steps_per_iteration)
        seconds = time.perf_counter() - start
        self._log(learned, self.num_env_steps - steps, self.num_updates - updates, seconds)

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

    def save_to_path(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        replay: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """Saves all of the algorithm's state, its policy alone in a file for `load_policy`, and the
        replay in the folder's `replay`.

        Args:
            path: A folder or an address; None: a new temporary folder.
            replay: Whether to save the replay too; None: unless `save_replay` is "none".
            **kwargs: RLlib's.

        Returns:
            The path.
        """
        self.loop.settle()
        path = super().save_to_path(None if path is None else os.fspath(path), **kwargs)
        filesystem, root = _filesystem_of(path, kwargs.get("filesystem"))
        is_local = isinstance(filesystem, LocalFileSystem)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(root if is_local else temporary)
            self._write_policy(folder)
            if self.options.save_replay != "none" if replay is None else replay:
                self.replay.save(folder / _REPLAY)
            if not is_local:
                copy_files(temporary, root, destination_filesystem=filesystem)
        return path

    def _write_policy(self, folder: Path) -> None:
        module = self.runner.module
        if isinstance(self.loop, Distributed):  # its own copy, which nothing acts with
            network, _ = self.loop.learners.weights()
            module.set_state(ray.get(network))
        write_policy(
            folder,
            module.online,
            self.options,
            arguments=module.arguments,
            action_space=self.runner.frames.action_space,
            step=self.num_env_steps,
        )

    def restore_from_path(
        self,
        path: str | os.PathLike[str],
        *,
        component: str | None = None,
        filesystem: FileSystem | None = None,
        **kwargs: Any,
    ) -> None:
        """Takes up what `save_to_path` saved, and goes on as the one who saved would have.

        Without a saved replay the replay stays as it is, and an empty one fills before learning
        goes on.

        Args:
            path: A folder or an address.
            component: One part only, as RLlib names it.
            filesystem: Where `path` is, unless the path says it.
            **kwargs: RLlib's.

        Raises:
            UserError: There is no checkpoint of DQN, or one of another game.
        """
        if component is not None:
            super().restore_from_path(path, component=component, filesystem=filesystem, **kwargs)
            return
        source, root = _filesystem_of(os.fspath(path), filesystem)
        with tempfile.TemporaryDirectory() as folder:
            if not isinstance(source, LocalFileSystem):
                copy_files(root, folder, source_filesystem=source)
                root = folder
            check_game(read_policy(root), self.options, os.fspath(path))
            self.loop.settle()
            super().restore_from_path(root, **kwargs)
            if Path(root, _REPLAY).is_dir():
                self.restore_replay(Path(root, _REPLAY))

    def restore_replay(self, folder: Path) -> None:
        """Takes up what `replay.save` wrote to a folder, with any number of shards.

        Raises:
            UserError: As `FrameReplay.restore`.
        """
        folders = saved_folders(folder)
        if isinstance(self.loop, Distributed) or folders == [folder]:
            self.replay.restore(folder)
            return
        replay = self.loop.replay = make_replay(**self._replay_arguments(), rng=self._replay_rng)
        for move in reshard(folders, num_streams=self.options.num_streams, num_shards=1):
            replay.add(move.fragment)
            if isinstance(replay, PrioritizedReplay) and move.priorities is not None:
                ids = np.arange(replay.head - len(move.fragment), replay.head)
                replay.set_priorities(ids, move.priorities)

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, this algorithm's counters and the held-out states; not the replay, which
        `save_to_path` keeps in files of its own."""
        own = {
            **self.loop.get_state(),
            "recent_episodes": list(self._recent),
            "replay_rng": self._replay_rng.bit_generator.state,
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
            self._replay_rng.bit_generator.state = own["replay_rng"]
            self.held_out = own["held_out"]
            self._evaluation = own.get("evaluation", {})
            self.loop.set_state(own)

    def cleanup(self) -> None:
        """Ends all actors."""
        if hasattr(self, "loop"):
            self.loop.stop()
        super().cleanup()

    def _log(
        self, learned: list[dict[str, float]], steps: int, updates: int, seconds: float
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
        log((ENV_RUNNER_RESULTS, "epsilon"), self.loop.epsilon, window=1)
        log((ENV_RUNNER_RESULTS, "env_steps_per_s"), steps / seconds, window=1)
        learner = (LEARNER_RESULTS, DEFAULT_MODULE_ID)
        for name in learned[0].keys() - {"num_updates"} if learned else ():
            log((*learner, name), float(np.mean([r[name] for r in learned])), window=1)
        log((*learner, "num_updates"), self.num_updates, window=1)
        log((*learner, "updates_per_s"), updates / seconds, window=1)
        if (max_q := self._latest_max_q()) is not None:
            log((*learner, "held_out_max_q"), max_q, window=1)
        log(("replay", "num_transitions"), len(self.replay), window=1)
        log(("replay", "num_bytes"), self.replay.nbytes, window=1)
        for name, value in self.loop.faults().items():
            log(("faults", name), value, window=1)


def _filesystem_of(path: str, filesystem: FileSystem | None) -> tuple[FileSystem, str]:
    """A file system and the path in it, of a path in `filesystem`, or else a path or address."""
    if filesystem is not None:
        return filesystem, path
    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    return FileSystem.from_uri(path)
