"""Killing the actors of a run, and training on until that has been noticed; an environment that
fails."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import ray
from gymnasium.envs.classic_control import CartPoleEnv

from algorithms.dqn import DQN
from algorithms.dqn.distributed import Distributed


def loop_of(algo: DQN) -> Distributed:
    assert isinstance(algo.loop, Distributed)
    return algo.loop


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def pid_of(actor: Any) -> int:
    """Of a runner or a learner."""
    return ray.get(actor.apply.remote(lambda _: os.getpid()))


def shard_pids(algo: DQN) -> dict[str, list[int]]:
    """By level, the processes of its shards."""
    shards = {name: level.replay.shards for name, level in loop_of(algo).levels.items()}
    return {
        name: [pid for _, pid in ray.get([shard.place.remote() for shard in own])]
        for name, own in shards.items()
    }


def num_stored(algo: DQN) -> dict[str, int]:
    """By level, transitions that its shards say they hold."""
    return {
        name: sum(
            status.num_transitions
            for status in ray.get([shard.status.remote() for shard in level.replay.shards])
        )
        for name, level in loop_of(algo).levels.items()
    }


def train_until(algo: DQN, condition: Callable[[], bool], seconds: float = 90) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        result = algo.train()
        if condition():
            return result
        assert time.monotonic() < end, result["faults"]


class Breaks(CartPoleEnv):
    """A pole that breaks after 600 steps of a process."""

    num_steps: ClassVar[int] = 0

    def step(self, action: Any) -> Any:
        Breaks.num_steps += 1
        if Breaks.num_steps > 600:
            raise RuntimeError("the pole broke")
        return super().step(action)


gym.register("Breaks-v0", entry_point=Breaks, max_episode_steps=500)
