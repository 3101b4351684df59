"""This project's DQN and h-DQN."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.dqn_contenders import task
from benchmarks.dqn_contenders.task import NUM_ENVS

MONTEZUMA: dict[str, Any] = dict(game="montezuma_revenge", emulator="ram", fire_on_reset=False)


def arcadia_options(*, game: str = "breakout", **options: Any) -> Any:
    """The options of what all contenders play and learn."""
    from algorithms.dqn.presets import preset

    common: dict[str, Any] = dict(
        num_envs_per_env_runner=NUM_ENVS,
        preprocess="resize",
        max_pool=True,
        double=False,
        dueling=False,
        n_step=1,
        loss="huber",
        target_update_period=task.TARGET_PERIOD,
        optimizer="adam",
        lr=task.LR,
        gamma=task.GAMMA,
        batch_size=task.BATCH_SIZE,
        updates_per_step=1 / task.STEPS_PER_UPDATE,
        overlap=True,
        replay_capacity=task.CAPACITY,
        learning_starts=task.LEARNING_STARTS,
        epsilon_start=task.EPSILON,
        epsilon_end=task.EPSILON,
        held_out_states=0,
        eval_period_frames=0,
    )
    return preset("fast", game=game, **(common | options))


class Arcadia:
    """This project's DQN.

    Args:
        **options: Of `DQNOptions`, beside those that make it play and learn what all do.
    """

    def __init__(self, **options: Any) -> None:
        from algorithms.dqn import DQN
        from arcadia import cluster

        cluster.connect(num_cpus=4)
        algo = self.config(**options).debugging(seed=0).build_algo()
        assert isinstance(algo, DQN)
        self.algo = algo

    def config(self, **options: Any) -> Any:
        """What is built."""
        from algorithms.dqn import DQNConfig

        return DQNConfig.of_options(arcadia_options(**options))

    def work(self, seconds: float) -> tuple[int, int]:
        algo, end = self.algo, time.perf_counter() + seconds
        steps, updates = algo.num_env_steps, algo.num_updates
        while time.perf_counter() < end:
            algo.loop.run(64)
        # What is under way is not counted yet; it must not be worked off in others' time.
        counts = algo.num_env_steps - steps, algo.num_updates - updates
        algo.loop.settle()
        return counts


class Hierarchy(Arcadia):
    """This project's h-DQN on Montezuma's Revenge, in phase 2; updates are the controller's."""

    def __init__(self) -> None:
        from algorithms.hdqn.options import META

        super().__init__(**MONTEZUMA)
        while not self.algo.loop.num_updates[META]:
            self.algo.loop.run(64)

    def config(self, **options: Any) -> Any:
        from dataclasses import asdict

        from algorithms.hdqn import HDQNConfig
        from algorithms.hdqn.options import HDQNOptions

        own: dict[str, Any] = dict(
            goal_epsilon_floor=task.EPSILON, meta_epsilon_start=task.EPSILON, max_goal_steps=100
        )
        own |= dict(phase1_frames=0, meta_learning_starts=32)
        return HDQNConfig.of_options(HDQNOptions(**(asdict(arcadia_options(**options)) | own)))

    def work(self, seconds: float) -> tuple[int, int]:
        from algorithms.hdqn.options import CONTROLLER

        before = self.algo.loop.num_updates[CONTROLLER]
        steps, _ = super().work(seconds)
        return steps, self.algo.loop.num_updates[CONTROLLER] - before


class ArcadiaActing:
    """This project's runner alone: plays, numbers its records, encodes its frames."""

    def __init__(self) -> None:
        from algorithms.dqn import DQNConfig
        from algorithms.dqn.runner import DQNRunner

        config = DQNConfig.of_options(arcadia_options()).debugging(seed=0)
        self.runner = DQNRunner(config=config, worker_index=0)

    def work(self, seconds: float) -> tuple[int, int]:
        end, runner = time.perf_counter() + seconds, self.runner
        before = runner.num_env_steps_sampled_lifetime
        while time.perf_counter() < end:
            for _ in range(8):
                runner.start_step()
                runner.finish_step()
            runner.take_fragment()
        return runner.num_env_steps_sampled_lifetime - before, 0
