"""Atari on ale-py's native vector environment (C++ threads, uint8).

Preprocessing of Mnih et al. 2013, section 4.1: RGB 210x160 to grey, to 110x84, cropped to 84x84;
no maximum over frames. The 2015 variant scales to 84x84 directly, over the maximum of two frames.
"""

from __future__ import annotations

from functools import cache

import ale_py.roms
import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from algorithms.envs.vector import GOES_ON, FrameStep
from arcadia.errors import UserError, did_you_mean

FRAME_SIZE = 84
SCALED_HEIGHT = 110  # rows of the 2013 picture before its crop
SCREEN = (210, 160, 3)


@cache
def atari_games() -> tuple[str, ...]:
    """The games ale-py ships a ROM of, by ROM name."""
    return tuple(sorted(ale_py.roms.get_all_rom_ids()))


def check_game(game: str) -> None:
    """Raises UserError for a game without a ROM, naming the nearest that has one."""
    if game not in atari_games():
        near = did_you_mean(game, atari_games())
        raise UserError(f'game "{game}": no such ROM{near}')


def on_screen(frame: np.ndarray, preprocess: str, crop_top: int) -> np.ndarray:
    """What lies where a frame's pixels come from: the preprocessing turned around.

    Args:
        frame: (84, 84), as the agent sees it.
        preprocess: How it was made, `crop` or `resize`.
        crop_top: First of the 84 rows kept when cropping.

    Returns:
        (210, 160) of the same dtype, 0 where the crop cut.
    """
    crop = preprocess == "crop"
    height, top = (SCALED_HEIGHT, crop_top) if crop else (FRAME_SIZE, 0)
    rows = _middles(SCREEN[0], height) - top
    seen = (rows >= 0) & (rows < FRAME_SIZE)
    screen = np.zeros(SCREEN[:2], frame.dtype)
    screen[seen] = frame[rows[seen]][:, _middles(SCREEN[1], FRAME_SIZE)]
    return screen


def _middles(number: int, scaled: int) -> np.ndarray:
    """In which of the scaled pixels the middles of so many pixels lie."""
    return ((np.arange(number) + 0.5) * scaled / number).astype(np.int64)


class AtariFrames:
    """N games of one ROM, one grey 84x84 uint8 frame each a step.

    Args:
        game: ROM name, see :func:`atari_games`.
        num_envs: N, how many games.
        frame_skip: emulator frames an action is repeated for.
        preprocess: `crop` (2013) or `resize` (2015).
        crop_top: first of the 84 rows kept of 110 when cropping.
        max_pool: maximum over the last two emulator frames.
        sticky_actions: chance that the emulator repeats the last action.
        noop_max: most no-op actions at an episode's start; 0: none.
        fire_on_reset: press FIRE at an episode's start where the game waits for it.
        full_action_space: all 18 actions.
        max_episode_frames: emulator frames after which an episode is cut.
        screen: deliver the console's own picture, (210, 160, 3) uint8 RGB, for people to look at,
            instead of the agent's. The pixels play no part in the emulation: seeded and stepped
            alike, it shows exactly what the agent's environment plays.
        num_threads: emulator threads; 0: as many as cores, at most N.

    Raises:
        UserError: for a game without a ROM.
    """

    stacks = True
    frame_dtype = np.dtype(np.uint8)

    def __init__(
        self,
        game: str,
        num_envs: int,
        *,
        frame_skip: int = 4,
        preprocess: str = "crop",
        crop_top: int = 18,
        max_pool: bool = False,
        sticky_actions: float = 0.0,
        noop_max: int = 30,
        fire_on_reset: bool = True,
        full_action_space: bool = False,
        max_episode_frames: int = 108_000,
        screen: bool = False,
        num_threads: int = 0,
    ) -> None:
        check_game(game)
        crop = preprocess == "crop" and not screen
        self.game = game
        self.num_envs = num_envs
        self._rows = slice(crop_top, crop_top + FRAME_SIZE) if crop else slice(None)
        self.frame_shape: tuple[int, ...] = SCREEN if screen else (FRAME_SIZE, FRAME_SIZE)
        picture = SCREEN[:2] if screen else (SCALED_HEIGHT if crop else FRAME_SIZE, FRAME_SIZE)
        self._env = AtariVectorEnv(
            game,
            num_envs,
            num_threads=num_threads,
            img_height=picture[0],
            img_width=picture[1],
            grayscale=not screen,
            stack_num=1,  # stacking belongs to the runner and to the replay
            frameskip=frame_skip,
            maxpool=max_pool or screen,  # some games draw a sprite on every second frame only
            noop_max=noop_max,
            use_fire_reset=fire_on_reset,
            repeat_action_probability=sticky_actions,
            full_action_space=full_action_space,
            reward_clipping=False,  # would hide the game's own score
            episodic_life=False,  # would restart the whole game at each life
            life_loss_info=False,  # reports a lost life as terminated; lives are compared instead
            max_num_frames_per_episode=max_episode_frames,
        )
        self.action_space = gym.spaces.Discrete(int(self._env.single_action_space.n))  # type: ignore[attr-defined]
        self.num_actions = int(self.action_space.n)
        self.action_names = tuple(a.name for a in self._env.ale.get_action_set())
        self._lives = np.zeros(num_envs, np.int32)

    def reset(self, seeds: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Starts games; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        mask = np.ones(self.num_envs, bool) if mask is None else mask
        where = np.flatnonzero(mask)
        started = np.empty((len(where), *self.frame_shape), self.frame_dtype)
        for seeded in (seeds != GOES_ON, seeds == GOES_ON):
            if seeded.any():
                own = np.zeros(self.num_envs, bool)
                own[where[seeded]] = True
                given = seeds[seeded] if seeds[seeded][0] != GOES_ON else None
                frames, info = self._env.reset(seed=given, options={"reset_mask": own})
                self._lives[own] = np.asarray(info["lives"])[own]
                started[seeded] = frames[own, 0, self._rows]
        return started

    def send(self, actions: np.ndarray) -> None:
        """Starts a step; the emulator's threads work until `recv`."""
        self._env.send(actions)

    def recv(self) -> FrameStep:
        """Waits for the step; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        frames, rewards, terminated, truncated, info = self._env.recv()
        lives = np.array(info["lives"])
        life_lost = (lives < self._lives) & ~(terminated | truncated)
        self._lives = lives
        return FrameStep(
            frame=frames[:, 0, self._rows],
            reward=rewards.astype(np.float32),
            terminated=terminated,
            truncated=truncated & ~terminated,
            life_lost=life_lost,
        )

    def close(self) -> None:
        """Ends the emulator's threads."""
        self._env.close()
