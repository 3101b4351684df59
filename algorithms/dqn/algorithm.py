"""DQN as an RLlib algorithm: the loop that acts, stores and learns at a held ratio.

One process holds all of it. The runner's environments step in the emulator's own threads while the
learner updates; the runner acts with the learner's own network, so no weights are copied.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS

from algorithms.dqn.config import DQNConfig
from algorithms.dqn.episodes import SCORES, Episode, log_episodes
from algorithms.dqn.held_out import collect_held_out_states
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.policy import check_game, read_policy, write_policy
from algorithms.dqn.runner import DQNRunner
from algorithms.replay import FrameReplay, PrioritizedReplay

_REPLAY = "replay"  # folder of the replay's files in a checkpoint
_HELD_OUT_BATCH = 128  # states a forward pass, so that many states need little memory


class DQN(Algorithm):
    """Deep Q-learning (Mnih et al. 2013, Algorithm 1) with the options of `DQNOptions`.

    Attributes:
        replay: what is learnt from.
        held_out: (n, *observation_shape) states whose greatest Q-values are followed; None when
            `held_out_states` is 0.
        num_env_steps: steps taken in all.
        num_updates: minibatch updates made in all.
    """

    config: DQNConfig  # type: ignore[assignment]

    @classmethod
    def get_default_config(cls) -> DQNConfig:
        """The preset `fast`, without an environment."""
        return DQNConfig()

    def setup(self, config: AlgorithmConfig) -> None:
        """Builds runner, learner, replay and held-out states."""
        super().setup(config)
        self.options = self.config.options
        runner = self.env_runner
        assert isinstance(runner, DQNRunner)
        self.runner = runner
        assert self.learner_group is not None
        learner = next(
            iter(self.learner_group.foreach_learner(lambda learner, _=None: learner))
        ).get()
        assert isinstance(learner, DQNLearner)
        self.learner = learner
        self.runner.use_module(self.learner.dqn_module)
        seed = self.config.seed
        self._replay_rng = np.random.default_rng(None if seed is None else [seed, 1])
        arguments: dict[str, Any] = dict(
            capacity=self.options.replay_capacity,
            frame_shape=self.runner.frames.frame_shape,
            frame_dtype=self.runner.frames.frame_dtype,
            stack=self.runner.stacks.observation.shape[1],
            n_step=self.options.n_step,
            gamma=self.options.gamma,
            clip_rewards=self.options.clip_rewards,
            compression=self.options.replay_compression if self.runner.frames.stacks else "none",
            max_bytes=self.options.replay_max_bytes,
            rng=self._replay_rng,
        )
        self.replay: FrameReplay
        if self.options.prioritized:
            exponent = self.options.priority_exponent
            self.replay = PrioritizedReplay(**arguments, priority_exponent=exponent)
        else:
            self.replay = FrameReplay(**arguments)
        self.held_out = collect_held_out_states(self.config)
        self.num_env_steps = 0
        self._updates_owed = 0.0
        self._evaluation: dict[str, float] = {}  # scores of the latest
        self._has_evaluated = False  # in this iteration
        self._recent: deque[tuple[float, int]] = deque(
            maxlen=self.config.metrics_num_episodes_for_smoothing
        )

    @property
    def num_updates(self) -> int:
        """Minibatch updates made in all."""
        return self.learner.num_updates

    def training_step(self) -> None:
        """Acts and learns for `steps_per_iteration` steps and logs what happened."""
        options, runner = self.options, self.runner
        start, until = time.perf_counter(), self.num_env_steps + options.steps_per_iteration
        steps, updates = self.num_env_steps, self.num_updates
        learned: list[dict[str, float]] = []
        self._episodes: list[Episode] = []
        while self.num_env_steps < until:
            runner.start_step()
            if options.overlap:
                learned += self._learn()
            self._episodes += runner.finish_step()
            taken = runner.num_env_steps_sampled_lifetime - self.num_env_steps
            self.num_env_steps += taken
            self.replay.add(runner.take_fragment())
            if self._may_learn():
                self._updates_owed += taken * options.updates_per_step
            if not options.overlap:
                learned += self._learn()
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
        """Plays evaluation episodes; see RLlib's `evaluate`."""
        result = super().evaluate(*args, **kwargs)
        scores = result[ENV_RUNNER_RESULTS]
        self._evaluation = {name: float(scores[name]) for name in SCORES}
        self._has_evaluated = True
        return result

    def held_out_max_q(self) -> float:
        """Mean over the held-out states of the greatest Q-value (2013, section 5.1)."""
        assert self.held_out is not None, "held_out_states is 0"
        greatest = []
        for i in range(0, len(self.held_out), _HELD_OUT_BATCH):
            values = self.runner.q_values(self.held_out[i : i + _HELD_OUT_BATCH])
            greatest.append(values.max(axis=1))
        return float(np.concatenate(greatest).mean())

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
        module = self.learner.dqn_module
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
            super().restore_from_path(root, **kwargs)
            if Path(root, _REPLAY).is_dir():
                self.replay.restore(Path(root, _REPLAY))

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, this algorithm's counters and the held-out states; not the replay, which
        `save_to_path` keeps in files of its own."""
        return super().get_state(*args, **kwargs) | {
            "dqn": {
                "num_env_steps": self.num_env_steps,
                "updates_owed": self._updates_owed,
                "recent_episodes": list(self._recent),
                "replay_rng": self._replay_rng.bit_generator.state,
                "held_out": self.held_out,
                "evaluation": self._evaluation,
            }
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        if own := state.get("dqn"):
            self.num_env_steps = own["num_env_steps"]
            self.runner.num_env_steps_sampled_lifetime = self.num_env_steps
            self._updates_owed = own["updates_owed"]
            self._recent.clear()
            self._recent.extend(own["recent_episodes"])
            self._replay_rng.bit_generator.state = own["replay_rng"]
            self.held_out = own["held_out"]
            self._evaluation = own.get("evaluation", {})

    def _may_learn(self) -> bool:
        """Whether the replay holds enough: `learning_starts` frames, or all it ever will."""
        options = self.options
        whole_windows = options.batch_size + self.runner.num_envs * (options.n_step + 1)
        enough = len(self.replay) >= max(options.learning_starts, whole_windows)
        return enough or self.replay.tail > 0

    def _learn(self) -> list[dict[str, float]]:
        """Makes the updates owed, in whole calls of `updates_per_call` minibatches."""
        options, replay = self.options, self.replay
        per_call, lr = options.updates_per_call, options.learning_rate(self.num_env_steps)
        results = []
        if not self._may_learn():  # after a restore, updates may be owed before frames are there
            return results
        while self._updates_owed >= per_call:
            if isinstance(replay, PrioritizedReplay):
                replay.importance_exponent = options.importance_exponent(self.num_env_steps)
            batch = replay.sample(per_call * options.batch_size)
            metrics, errors = self.learner.update_minibatches(batch, per_call, lr)
            if isinstance(replay, PrioritizedReplay):
                replay.update_priorities(batch.id, errors)
            results.append(metrics)
            self._updates_owed -= per_call
        return results

    def _log(
        self, learned: list[dict[str, float]], steps: int, updates: int, seconds: float
    ) -> None:
        log = self.metrics.log_value
        # All that the runner and its callbacks logged; scores are reported here, see log_episodes.
        logged = {k: v for k, v in self.runner.get_metrics().items() if k not in SCORES}
        self.metrics.aggregate([logged], key=ENV_RUNNER_RESULTS)
        self._recent.extend((e.return_, e.length) for e in self._episodes)
        log_episodes(self.metrics, self._recent, len(self._episodes), (ENV_RUNNER_RESULTS,))
        log((ENV_RUNNER_RESULTS, "epsilon"), self.runner.epsilon, window=1)
        log((ENV_RUNNER_RESULTS, "env_steps_per_s"), steps / seconds, window=1)
        learner = (LEARNER_RESULTS, DEFAULT_MODULE_ID)
        for name in learned[0].keys() - {"num_updates"} if learned else ():
            log((*learner, name), float(np.mean([r[name] for r in learned])), window=1)
        log((*learner, "num_updates"), self.num_updates, window=1)
        log((*learner, "updates_per_s"), updates / seconds, window=1)
        if self.held_out is not None:
            log((*learner, "held_out_max_q"), self.held_out_max_q(), window=1)
        log(("replay", "num_transitions"), len(self.replay), window=1)
        log(("replay", "num_bytes"), self.replay.nbytes, window=1)


def _filesystem_of(path: str, filesystem: FileSystem | None) -> tuple[FileSystem, str]:
    """A file system and the path in it, of a path in `filesystem`, or else a path or address."""
    if filesystem is not None:
        return filesystem, path
    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    return FileSystem.from_uri(path)
