"""What it takes to play open episodes again: a seed, and all actions since.

ale-py's vector environment can save no state, but it follows seeds and actions exactly, also into
the episodes that follow one another; so does any environment that depends on nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from algorithms.dqn.episodes import Episode
from algorithms.dqn.stacks import FrameStacks
from algorithms.envs import GOES_ON, FrameVectorEnv

RESEED_STEPS = 5_000
"""Steps after which the next episode of an environment gets a seed again. Atari reads its ROM anew
for a seed, which takes as long as forty steps; what was played since the seed has to be played
again at a restore."""
_FIRST_LENGTH = 1024  # steps there is room for at the start; it doubles when they are taken


class EpisodeTrace:
    """Seeds of N environments, and their actions since.

    Attributes:
        is_over: (N,) bool: there is no open episode (any more); one has to be started.
    """

    def __init__(self, num_envs: int) -> None:
        self.is_over = np.ones(num_envs, bool)
        self._seeds = np.full(num_envs, GOES_ON)
        self._length = np.zeros(num_envs, np.int64)  # steps since the seed
        self._starts: list[list[int]] = [[] for _ in range(num_envs)]  # of later episodes, in them
        self._actions = np.zeros((num_envs, _FIRST_LENGTH), np.int32)

    def start(self, rng: np.random.Generator, seeds: np.ndarray | None = None) -> np.ndarray:
        """Chooses how the episodes start where one is over.

        Args:
            rng: Draws seeds where they are due.
            seeds: (number started,), to be taken instead.

        Returns:
            (number started,) int64, what `FrameVectorEnv.reset` takes.
        """
        over = np.flatnonzero(self.is_over)
        if seeds is None:
            due = (self._seeds[over] == GOES_ON) | (self._length[over] >= RESEED_STEPS)
            seeds = np.where(due, rng.integers(2**31, size=len(over)), GOES_ON)
        for i, seed in zip(over.tolist(), seeds.tolist(), strict=True):
            if seed == GOES_ON:
                self._starts[i].append(int(self._length[i]))
            else:
                self._seeds[i], self._length[i], self._starts[i] = seed, 0, []
        self.is_over[:] = False
        return seeds

    def note(self, actions: np.ndarray) -> None:
        """Notes the actions, (N,), of a step."""
        if self._length.max() >= self._actions.shape[1]:
            self._actions = np.pad(self._actions, ((0, 0), (0, self._actions.shape[1])))
        self._actions[np.arange(len(actions)), self._length] = actions
        self._length += 1

    def give_up(self, index: np.ndarray) -> None:
        """Ends episodes, (K,), whose environments are not where they should be."""
        self.is_over[index] = True
        self._seeds[index] = GOES_ON

    def get_state(self, episodes: list[Episode], stacks: FrameStacks) -> dict[str, Any] | None:
        """All that `restore` takes; None before the first episode."""
        if not episodes:
            return None
        return {
            "seeds": self._seeds.copy(),
            "actions": [row[:n].copy() for row, n in zip(self._actions, self._length, strict=True)],
            "starts": [list(starts) for starts in self._starts],
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

        All that was played since the seeds is played again side by side, the shorter ones starting
        later, so that they reach their places together; what an environment does before its start
        plays no part.

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
        self._starts = [list(starts) for starts in state["starts"]]
        self._length = np.array([len(actions) for actions in state["actions"]])
        room = max(_FIRST_LENGTH, 2 * int(self._length.max(initial=0)))
        self._actions = np.zeros((len(self._seeds), room), np.int32)
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
        """Plays all that was played since the seeds.

        Returns:
            The stacks it ends in; (N,) float64, the scores of the latest episodes; (N,) bool,
            whether all episodes ended where they had.
        """
        everyone = np.arange(frames.num_envs)
        longest = int(self._length.max(initial=0))
        begins = np.zeros((frames.num_envs, self._actions.shape[1] + 1), bool)
        for row, starts in zip(begins, self._starts, strict=True):
            row[starts] = True
        ends = begins.copy()
        ends[everyone, self._length] |= self.is_over
        again = FrameStacks(frames, stacks.observation.shape[1])
        scores, repeated = np.zeros(frames.num_envs), np.ones(frames.num_envs, bool)
        ended = np.ones(frames.num_envs, bool)
        for tick in range(longest + 1):
            at = tick - (longest - self._length)  # each one's step; before its turn below 0
            step_of = np.maximum(at, 0)
            first, later = at == 0, (at > 0) & begins[everyone, step_of]
            # Those that end before their turn must go on, to be stepped at all.
            starting = first | later | (ended & ((at < 0) | (tick < longest)))
            if starting.any():
                seeds = np.where(first, self._seeds, GOES_ON)[starting]
                again.start(frames.reset(seeds, starting), starting)
                scores[starting] = 0
            if tick == longest:
                break
            playing = at >= 0
            frames.send(np.where(playing, self._actions[everyone, step_of], 0).astype(np.int64))
            step = frames.recv()
            again.push(step.frame)
            scores += np.where(playing, step.reward, 0)
            ended = step.terminated | step.truncated
            repeated &= (ended == ends[everyone, step_of + 1]) | ~playing
        return again, scores, repeated
