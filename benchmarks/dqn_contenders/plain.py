"""Loops as one would write them for oneself."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.dqn_contenders import task
from benchmarks.dqn_contenders.task import NUM_ENVS, native_env, q_network


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
        self.env = native_env()
        self.num_actions = int(self.env.single_action_space.n)
        torch.manual_seed(0)
        self.online, self.target = q_network(self.num_actions), q_network(self.num_actions)
        self.target.load_state_dict(self.online.state_dict())
        self.bf16 = bf16
        if channels_last:
            self.online.to(memory_format=torch.channels_last)
            self.target.to(memory_format=torch.channels_last)
        if compile:
            self.online.compile()
            self.target.compile()
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=task.LR, fused=True)
        self.length = task.CAPACITY // NUM_ENVS
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
        if self.at * NUM_ENVS >= task.LEARNING_STARTS:
            for _ in range(NUM_ENVS // task.STEPS_PER_UPDATE):
                self.learn()

    def act(self) -> None:
        """One step of all environments."""
        import numpy as np
        import torch

        random = self.rng.random(NUM_ENVS) < task.EPSILON
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
        ticks = self.rng.integers(oldest, self.at - 1, task.BATCH_SIZE)
        env = self.rng.integers(NUM_ENVS, size=task.BATCH_SIZE)
        back = np.arange(-3, 1)
        planes = (ticks[:, None] + back) % self.length
        row = ticks % self.length
        s_tm1 = self.frames[planes, env[:, None]]
        s_tm1[-back > self.age[row, env][:, None]] = 0  # planes before the reset
        s_t = self.frames[(planes + 1) % self.length, env[:, None]]
        after = self.age[(row + 1) % self.length, env]
        s_t[-back > after[:, None]] = 0
        discount = task.GAMMA * (1 - self.ended[row, env].astype(np.float32))
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
        if self.updates % task.TARGET_PERIOD == 0:
            self.target.load_state_dict(self.online.state_dict())

    def work(self, seconds: float) -> tuple[int, int]:
        end, at, updates = time.perf_counter() + seconds, self.at, self.updates
        while time.perf_counter() < end:
            self.tick()
        return (self.at - at) * NUM_ENVS, self.updates - updates


class BareActing:
    """The native vector env with a batched forward pass, and nothing else."""

    def __init__(self) -> None:
        import numpy as np
        import torch

        torch.manual_seed(0)
        self.env, self.rng = native_env(), np.random.default_rng(0)
        self.num_actions = int(self.env.single_action_space.n)
        self.network = q_network(self.num_actions)
        self.observation, _ = self.env.reset(seed=0)

    def work(self, seconds: float) -> tuple[int, int]:
        import numpy as np
        import torch

        end, steps = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            random = self.rng.random(NUM_ENVS) < task.EPSILON
            actions = self.rng.integers(self.num_actions, size=NUM_ENVS)
            with torch.no_grad():
                greedy = self.network(torch.from_numpy(self.observation)).argmax(dim=1).numpy()
            self.observation, *_ = self.env.step(np.where(random, actions, greedy))
            steps += NUM_ENVS
        return steps, 0
