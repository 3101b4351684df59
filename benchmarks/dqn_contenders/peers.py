"""Other libraries' DQN."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.dqn_contenders import task
from benchmarks.dqn_contenders.task import NUM_ENVS


def _gymnasium_env() -> Any:
    """Breakout through Gymnasium's own wrappers, (84, 84) uint8."""
    import ale_py
    import gymnasium as gym

    gym.register_envs(ale_py)
    env = gym.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    return gym.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=84)


def _trunk() -> Any:
    """All of the network but its last layer."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(2_592, 256), nn.ReLU()),
    )


class StableBaselines3:
    """Stable-Baselines3's DQN with the network as a features extractor."""

    def __init__(self) -> None:
        import gymnasium as gym
        import numpy as np
        import torch
        from stable_baselines3 import DQN  # pyright: ignore[reportMissingImports]
        from stable_baselines3.common.torch_layers import BaseFeaturesExtractor  # pyright: ignore[reportMissingImports]
        from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack  # pyright: ignore[reportMissingImports]

        class Extractor(BaseFeaturesExtractor):
            """`_trunk`, as this library takes it."""

            def __init__(self, space: gym.Space) -> None:
                super().__init__(space, features_dim=256)
                self.layers = _trunk()

            def forward(self, observation: torch.Tensor) -> torch.Tensor:
                return self.layers(observation)

        def make() -> Any:
            env = _gymnasium_env()
            return gym.wrappers.ReshapeObservation(env, (84, 84, 1))

        env = VecFrameStack(DummyVecEnv([make] * NUM_ENVS), 4)
        assert env.observation_space.dtype == np.uint8
        self.model = DQN(
            "CnnPolicy",
            env,
            learning_rate=task.LR,
            buffer_size=task.CAPACITY,
            learning_starts=task.LEARNING_STARTS,
            batch_size=task.BATCH_SIZE,
            gamma=task.GAMMA,
            train_freq=(1, "step"),
            gradient_steps=NUM_ENVS // task.STEPS_PER_UPDATE,
            target_update_interval=task.TARGET_PERIOD * task.STEPS_PER_UPDATE,
            exploration_fraction=1e-6,
            exploration_initial_eps=task.EPSILON,
            exploration_final_eps=task.EPSILON,
            policy_kwargs=dict(features_extractor_class=Extractor, net_arch=[]),
            seed=0,
        )
        self.started = False

    def work(self, seconds: float) -> tuple[int, int]:
        from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]

        class Stop(BaseCallback):
            """Ends after so many seconds."""

            def _on_training_start(self) -> None:
                self.end = time.perf_counter() + seconds

            def _on_step(self) -> bool:
                return time.perf_counter() < self.end

        model = self.model
        steps, updates = model.num_timesteps, model._n_updates
        model.learn(10**9, callback=Stop(), reset_num_timesteps=not self.started)
        self.started = True
        return model.num_timesteps - steps, model._n_updates - updates


class RLlib:
    """RLlib's stock DQN with the network in a module of its own."""

    def __init__(self) -> None:
        import gymnasium as gym
        import torch
        from ray import tune
        from ray.rllib.algorithms.dqn import DQNConfig
        from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import (
            DefaultDQNTorchRLModule,
        )
        from ray.rllib.core.columns import Columns
        from ray.rllib.core.models.base import ENCODER_OUT
        from ray.rllib.core.rl_module import RLModuleSpec
        from ray.rllib.utils.schedules.scheduler import Scheduler

        from arcadia import cluster

        class Encoder(torch.nn.Module):
            """`_trunk`, as this library takes it."""

            def __init__(self) -> None:
                super().__init__()
                self.layers = _trunk()

            def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
                return {ENCODER_OUT: self.layers(batch[Columns.OBS].float() * (1 / 255))}

        class Module(DefaultDQNTorchRLModule):
            """The stock module around it."""

            def setup(self) -> None:
                self.uses_dueling, self.uses_double_q, self.num_atoms = False, False, 1
                self.epsilon_schedule = Scheduler(
                    fixed_value_or_schedule=task.EPSILON, framework=self.framework
                )
                self.encoder = Encoder()
                self.af = torch.nn.Linear(256, self.action_space.n)

        def make(_: Any) -> Any:
            return gym.wrappers.FrameStackObservation(_gymnasium_env(), 4)

        cluster.connect(num_cpus=2)
        tune.register_env("breakout", make)
        config = (
            DQNConfig()
            .environment("breakout")
            .env_runners(num_env_runners=0, num_envs_per_env_runner=NUM_ENVS)
            .rl_module(rl_module_spec=RLModuleSpec(module_class=Module))
            .training(
                lr=task.LR,
                gamma=task.GAMMA,
                train_batch_size_per_learner=task.BATCH_SIZE,
                training_intensity=task.BATCH_SIZE / task.STEPS_PER_UPDATE,
                target_network_update_freq=task.TARGET_PERIOD * task.STEPS_PER_UPDATE,
                num_steps_sampled_before_learning_starts=task.LEARNING_STARTS,
                epsilon=task.EPSILON,
                double_q=False,
                dueling=False,
                n_step=1,
                replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": task.CAPACITY},
            )
            .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=64)
            .debugging(seed=0)
        )
        self.algo = config.build_algo()
        self.counts: tuple[int, int] = (0, 0)

    def work(self, seconds: float) -> tuple[int, int]:
        end, (steps, updates) = time.perf_counter() + seconds, self.counts
        while time.perf_counter() < end:
            result = self.algo.train()
            learner = result.get("learners", {}).get("default_policy", {})
            self.counts = (
                int(result["env_runners"]["num_env_steps_sampled_lifetime"]),
                int(learner.get("num_module_steps_trained_lifetime", 0)) // task.BATCH_SIZE,
            )
        return self.counts[0] - steps, self.counts[1] - updates
