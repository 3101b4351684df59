"""Who is measured by `benchmarks.dqn_throughput`; each in a process of its own.

All play Breakout (h-DQN and its peer: Montezuma's Revenge) in eight environments with epsilon 0.1,
grey 84x84 pictures, the maximum of two frames and frame skip 4, with the network of Mnih et al.
2013, a target network, Adam, the Huber loss and one-step targets: minibatches of 32, one update for
every four steps.

A child of `dqn_throughput` runs `python -m benchmarks.dqn_contenders NAME --threads N`: it warms
up, says `{"ready": true}`, and then for each line `SECONDS` that it reads works that long and
answers with steps, updates and seconds. In between it does nothing, so that others can be
measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Protocol

NUM_ENVS = 8
BATCH_SIZE = 32
STEPS_PER_UPDATE = 4
LEARNING_STARTS = 2_000
CAPACITY = 50_000
EPSILON = 0.1
LR = 1e-4
GAMMA = 0.99
TARGET_PERIOD = 1_000


class Contender(Protocol):
    """Something that acts and learns."""

    def work(self, seconds: float) -> tuple[int, int]:
        """Works for about so long; environment steps and updates made."""
        ...


def _native_env() -> Any:
    from ale_py.vector_env import AtariVectorEnv

    return AtariVectorEnv("breakout", NUM_ENVS, stack_num=4, reward_clipping=True, num_threads=0)


def _network(num_actions: int) -> Any:
    from algorithms.dqn.q_network import QNetwork

    return QNetwork((4, 84, 84), num_actions)


class PlainLoop:
    """A loop as one would write it for itself: native vector env, uint8 frame ring, eager PyTorch.

    Args:
        compile: With torch.compile.
        channels_last: With channels innermost.
        bf16: With bfloat16 autocast.
    """

    def __init__(
        self, *, compile: bool = False, channels_last: bool = False, bf16: bool = False
    ) -> None:
        import numpy as np
        import torch

        self.rng = np.random.default_rng(0)
        self.env = _native_env()
        self.num_actions = int(self.env.single_action_space.n)
        torch.manual_seed(0)
        self.online, self.target = _network(self.num_actions), _network(self.num_actions)
        self.target.load_state_dict(self.online.state_dict())
        self.bf16 = bf16
        if channels_last:
            self.online.to(memory_format=torch.channels_last)
            self.target.to(memory_format=torch.channels_last)
        if compile:
            self.online.compile()
            self.target.compile()
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=LR, fused=True)
        self.length = CAPACITY // NUM_ENVS
        self.frames = np.zeros((self.length, NUM_ENVS, 84, 84), np.uint8)
        self.actions = np.zeros((self.length, NUM_ENVS), np.int64)
        self.rewards = np.zeros((self.length, NUM_ENVS), np.float32)
        self.ended = np.zeros((self.length, NUM_ENVS), bool)
        self.age = np.zeros((self.length, NUM_ENVS), np.int64)  # steps since the reset, to 3
        self.at = 0  # ticks in all
        self.updates = 0
        self.observation, _ = self.env.reset(seed=0)
        self.ages = np.zeros(NUM_ENVS, np.int64)
        self.was_reset = np.zeros(NUM_ENVS, bool)

    def tick(self) -> None:
        """One step of all environments, and the updates for it."""
        self.act()
        if self.at * NUM_ENVS >= LEARNING_STARTS:
            for _ in range(NUM_ENVS // STEPS_PER_UPDATE):
                self.learn()

    def act(self) -> None:
        """One step of all environments."""
        import numpy as np
        import torch

        random = self.rng.random(NUM_ENVS) < EPSILON
        actions = self.rng.integers(self.num_actions, size=NUM_ENVS)
        with torch.no_grad():
            greedy = self.online(torch.from_numpy(self.observation)).argmax(dim=1).numpy()
        actions = np.where(random, actions, greedy)
        row = self.at % self.length
        self.frames[row] = self.observation[:, -1]
        self.actions[row] = actions
        self.age[row] = self.ages
        self.observation, rewards, terminated, truncated, _ = self.env.step(actions)
        self.rewards[row] = rewards
        ended = terminated | truncated
        # The step after an end is a reset that ignores the action: nothing to learn from.
        self.ended[row] = ended | self.was_reset
        self.ages = np.where(self.was_reset, 0, np.minimum(self.ages + 1, 3))
        self.was_reset = ended
        self.at += 1

    def sample(self) -> tuple[Any, ...]:
        """A minibatch: states, actions, rewards, discounts and next states, as tensors."""
        import numpy as np
        import torch

        oldest = max(3, self.at - self.length + 4)
        ticks = self.rng.integers(oldest, self.at - 1, BATCH_SIZE)
        env = self.rng.integers(NUM_ENVS, size=BATCH_SIZE)
        back = np.arange(-3, 1)
        planes = (ticks[:, None] + back) % self.length
        row = ticks % self.length
        s_tm1 = self.frames[planes, env[:, None]]
        s_tm1[-back > self.age[row, env][:, None]] = 0  # planes before the reset
        s_t = self.frames[(planes + 1) % self.length, env[:, None]]
        after = self.age[(row + 1) % self.length, env]
        s_t[-back > after[:, None]] = 0
        discount = GAMMA * (1 - self.ended[row, env].astype(np.float32))
        columns = s_tm1, self.actions[row, env], self.rewards[row, env], discount, s_t
        return tuple(map(torch.from_numpy, columns))

    def learn(self) -> None:
        """One update."""
        import torch
        import torch.nn.functional as F

        s_tm1, a_tm1, r_t, discount, s_t = self.sample()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            with torch.no_grad():
                target = r_t + discount * self.target(s_t).amax(dim=1)
            q = self.online(s_tm1).gather(1, a_tm1[:, None]).squeeze(1)
        loss = F.smooth_l1_loss(q, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        if self.updates % TARGET_PERIOD == 0:
            self.target.load_state_dict(self.online.state_dict())

    def work(self, seconds: float) -> tuple[int, int]:
        end, at, updates = time.perf_counter() + seconds, self.at, self.updates
        while time.perf_counter() < end:
            self.tick()
        return (self.at - at) * NUM_ENVS, self.updates - updates


def _gymnasium_env() -> Any:
    """Breakout through Gymnasium's own wrappers, (84, 84) uint8."""
    import ale_py
    import gymnasium as gym

    gym.register_envs(ale_py)
    env = gym.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    return gym.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=84)


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
            """All of the network but its last layer."""

            def __init__(self, space: gym.Space) -> None:
                super().__init__(space, features_dim=256)
                nn = torch.nn
                self.layers = nn.Sequential(
                    *(nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU()),
                    *(nn.Flatten(), nn.Linear(2_592, 256), nn.ReLU()),
                )

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
            learning_rate=LR,
            buffer_size=CAPACITY,
            learning_starts=LEARNING_STARTS,
            batch_size=BATCH_SIZE,
            gamma=GAMMA,
            train_freq=(1, "step"),
            gradient_steps=NUM_ENVS // STEPS_PER_UPDATE,
            target_update_interval=TARGET_PERIOD * STEPS_PER_UPDATE,
            exploration_fraction=1e-6,
            exploration_initial_eps=EPSILON,
            exploration_final_eps=EPSILON,
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
            """All of the network but its last layer."""

            def __init__(self) -> None:
                super().__init__()
                nn = torch.nn
                self.layers = nn.Sequential(
                    *(nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU()),
                    *(nn.Flatten(), nn.Linear(2_592, 256), nn.ReLU()),
                )

            def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
                return {ENCODER_OUT: self.layers(batch[Columns.OBS].float() * (1 / 255))}

        class Module(DefaultDQNTorchRLModule):
            """The stock module around it."""

            def setup(self) -> None:
                self.uses_dueling, self.uses_double_q, self.num_atoms = False, False, 1
                self.epsilon_schedule = Scheduler(
                    fixed_value_or_schedule=EPSILON, framework=self.framework
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
                lr=LR,
                gamma=GAMMA,
                train_batch_size_per_learner=BATCH_SIZE,
                training_intensity=BATCH_SIZE / STEPS_PER_UPDATE,
                target_network_update_freq=TARGET_PERIOD * STEPS_PER_UPDATE,
                num_steps_sampled_before_learning_starts=LEARNING_STARTS,
                epsilon=EPSILON,
                double_q=False,
                dueling=False,
                n_step=1,
                replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": CAPACITY},
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
                int(learner.get("num_module_steps_trained_lifetime", 0)) // BATCH_SIZE,
            )
        return self.counts[0] - steps, self.counts[1] - updates


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
            goal_epsilon_floor=EPSILON, meta_epsilon_start=EPSILON, max_goal_steps=100
        )
        own |= dict(phase1_frames=0, meta_learning_starts=32)
        return HDQNConfig.of_options(HDQNOptions(**(asdict(arcadia_options(**options)) | own)))

    def work(self, seconds: float) -> tuple[int, int]:
        from algorithms.hdqn.options import CONTROLLER

        before = self.algo.loop.num_updates[CONTROLLER]
        steps, _ = super().work(seconds)
        return steps, self.algo.loop.num_updates[CONTROLLER] - before


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
        target_update_period=TARGET_PERIOD,
        optimizer="adam",
        lr=LR,
        gamma=GAMMA,
        batch_size=BATCH_SIZE,
        updates_per_step=1 / STEPS_PER_UPDATE,
        overlap=True,
        replay_capacity=CAPACITY,
        learning_starts=LEARNING_STARTS,
        epsilon_start=EPSILON,
        epsilon_end=EPSILON,
        held_out_states=0,
        eval_period_frames=0,
    )
    return preset("fast", game=game, **(common | options))


class BareActing:
    """The native vector env with a batched forward pass, and nothing else."""

    def __init__(self) -> None:
        import numpy as np
        import torch

        torch.manual_seed(0)
        self.env, self.rng = _native_env(), np.random.default_rng(0)
        self.num_actions = int(self.env.single_action_space.n)
        self.network = _network(self.num_actions)
        self.observation, _ = self.env.reset(seed=0)

    def work(self, seconds: float) -> tuple[int, int]:
        import numpy as np
        import torch

        end, steps = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            random = self.rng.random(NUM_ENVS) < EPSILON
            actions = self.rng.integers(self.num_actions, size=NUM_ENVS)
            with torch.no_grad():
                greedy = self.network(torch.from_numpy(self.observation)).argmax(dim=1).numpy()
            self.observation, *_ = self.env.step(np.where(random, actions, greedy))
            steps += NUM_ENVS
        return steps, 0


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


CONTENDERS: dict[str, Any] = {
    "plain_loop": PlainLoop,
    "rllib_dqn": RLlib,
    "sb3_dqn": StableBaselines3,
    "arcadia": Arcadia,
    "arcadia_actors": lambda: Arcadia(num_env_runners=1),
    "plain_loop_compile": lambda: PlainLoop(compile=True),
    "arcadia_compile": lambda: Arcadia(compile=True),
    "plain_loop_channels_last": lambda: PlainLoop(channels_last=True),
    "arcadia_channels_last": lambda: Arcadia(channels_last=True),
    "plain_loop_bf16": lambda: PlainLoop(bf16=True),
    "arcadia_bf16": lambda: Arcadia(autocast="bf16"),
    "bare_acting": BareActing,
    "arcadia_acting": ArcadiaActing,
    "montezuma_dqn": lambda: Arcadia(**MONTEZUMA),
    "montezuma_hdqn": Hierarchy,
}


def main() -> None:
    """Warms up, then works when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up-s", type=float, default=20.0)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    from arcadia.cluster import state_environment

    state_environment()
    import torch

    torch.set_num_threads(arguments.threads)
    contender: Contender = CONTENDERS[arguments.name]()
    learns = "acting" not in arguments.name
    updates, end = 0, time.perf_counter() + arguments.warm_up_s
    while time.perf_counter() < end or (learns and updates < 50):
        updates += contender.work(2.0)[1]
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        steps, updates = contender.work(float(line))
        seconds = time.perf_counter() - start
        answer = {"steps": steps, "updates": updates, "seconds": seconds}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
