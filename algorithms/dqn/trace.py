"""What it takes to play open episodes again: their seeds and the actions so far.

ale-py's vector environment can save no state, but it follows seeds and actions exactly; so does any
environment whose episodes depend on nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from algorithms.dqn.episodes import Episode
from algorithms.dqn.stacks import FrameStacks
from algorithms.envs import FrameVectorEnv

_FIRST_LENGTH = 1024  # steps there is room for at the start; it doubles when they are taken


class EpisodeTrace:
    """Seeds and actions of the episodes open in N environments.

    Attributes:
        is_over: (N,) bool: there is no open episode (any more); one has to be started.
    """

    def __init__(self, num_envs: int) -> None:
        self.is_over = np.ones(num_envs, bool)
        self._seeds = np.zeros(num_envs, np.int64)
        self._actions = np.zeros((num_envs, _FIRST_LENGTH), np.int32)

    def start(self, seeds: np.ndarray) -> None:
        """Notes the seeds, (number started,), of the episodes started where one was over."""
        self._seeds[self.is_over] = seeds

    def note(self, actions: np.ndarray, depth: np.ndarray) -> None:
        """Notes the actions, (N,), taken `depth`, (N,), steps after the episodes' first frames."""
        if depth.max() >= self._actions.shape[1]:
            self._actions = np.pad(self._actions, ((0, 0), (0, self._actions.shape[1])))
        self._actions[np.arange(len(depth)), depth] = actions

    def get_state(self, episodes: list[Episode], stacks: FrameStacks) -> dict[str, Any] | None:
        """All that `restore` takes; None before the first episode."""
        if not episodes:
            return None
        return {
            "seeds": self._seeds.copy(),
            "actions": [row[:n].copy() for row, n in zip(self._actions, stacks.depth, strict=True)],
            "is_over": self.is_over.copy(),
            "depth": stacks.depth.copy(),
            "observation": stacks.observation.copy(),
            "episodes": [dataclasses.asdict(episode) for episode in episodes],
        }

    def restore(
        self,
        state: dict[str, Any],
        episodes: list[Episode],
        frames: FrameVectorEnv,
        stacks: FrameStacks,
    ) -> np.ndarray:
        """Brings environments and stacks to where `get_state` found them.

        All episodes are played again side by side, the shorter ones starting later, so that they
        reach their places together; what an environment does before its start plays no part.

        Args:
            state: What `get_state` gave.
            episodes: N, with the scores they had.
            frames: The environments; all of their episodes start anew.
            stacks: Their stacks, which are set to those saved.

        Returns:
            (N,) bool: whether the frames and the score are again what they were, or the episode was
            over anyway.
        """
        stacks.observation[:], stacks.depth[:] = state["observation"], state["depth"]
        self.is_over, self._seeds = state["is_over"].copy(), state["seeds"].copy()
        self._actions = np.zeros((len(self._seeds), _room_for(stacks.depth)), np.int32)
        for row, actions in zip(self._actions, state["actions"], strict=True):
            row[: len(actions)] = actions
        again, scores, repeated = self._play_again(frames, stacks)
        now, then = again.observation, stacks.observation
        same = (now == then) | ((now != now) & (then != then))  # nan is not equal to itself
        repeated &= same.reshape(len(same), -1).all(axis=1)
        repeated &= scores == np.array([episode.return_ for episode in episodes])
        return repeated | self.is_over

    def _play_again(
        self, frames: FrameVectorEnv, stacks: FrameStacks
    ) -> tuple[FrameStacks, np.ndarray, np.ndarray]:
        """Plays the open episodes up to `stacks.depth`.

        Returns:
            The stacks they end in; (N,) float64, the scores; (N,) bool, whether they were still
            open there.
        """
        everyone = np.arange(frames.num_envs)
        lengths = np.where(self.is_over, 0, stacks.depth)
        longest = int(lengths.max(initial=0))
        again = FrameStacks(frames, stacks.observation.shape[1])
        scores, still_open = np.zeros(frames.num_envs), np.ones(frames.num_envs, bool)
        ended = np.ones(frames.num_envs, bool)
        for tick in range(longest + 1):
            # Those that end before their turn must start anew to be stepped on.
            starting = ended | (lengths == longest - tick)
            if starting.any():
                again.start(frames.reset(self._seeds[starting], starting), starting)
            if tick == longest:
                break
            playing = lengths >= longest - tick
            step_of = np.maximum(tick - (longest - lengths), 0)
            frames.send(np.where(playing, self._actions[everyone, step_of], 0).astype(np.int64))
            step = frames.recv()
            again.push(step.frame)
            scores += np.where(playing, step.reward, 0)
            ended = step.terminated | step.truncated
            still_open &= ~(ended & playing)
        return again, scores, still_open


def _room_for(depth: np.ndarray) -> int:
    """Steps to make room for, for episodes of these lengths."""
    return max(_FIRST_LENGTH, 2 * int(depth.max(initial=0)))
