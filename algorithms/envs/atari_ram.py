"""Atari on the plain emulator, whose memory can be read: for goals that are judged by it.

ale-py's vector environment, which `AtariFrames` plays on, shows no RAM. Here the games step one
after another in the caller's thread, because the emulator's Python interface keeps the interpreter
to itself; a step costs what it costs there on one core.
"""

from __future__ import annotations

import ale_py
import ale_py.roms
import cv2
import gymnasium as gym
import numpy as np

from algorithms.envs.atari import FRAME_SIZE, SCALED_HEIGHT, SCREEN, check_game
from algorithms.envs.vector import GOES_ON, FrameStep, Moment


class AtariRamFrames:
    """As :class:`~algorithms.envs.atari.AtariFrames`, with the memory of each game.

    Without no-op starts, whose number is drawn otherwise, it shows the same for the same seeds and
    actions, but for the last picture of a game, on which nothing follows.

    Args:
        game: As there, and so on.
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
    ) -> None:
        check_game(game)
        self.game, self.num_envs = game, num_envs
        self._frame_skip, self._noop_max = frame_skip, noop_max
        self._max_frames = max_episode_frames
        self._max_pool, self._screen = max_pool or screen, screen
        crop = preprocess == "crop" and not screen
        self._height = SCALED_HEIGHT if crop else FRAME_SIZE
        self._rows = slice(crop_top, crop_top + FRAME_SIZE) if crop else slice(None)
        self.frame_shape: tuple[int, ...] = SCREEN if screen else (FRAME_SIZE, FRAME_SIZE)
        self._rom = str(ale_py.roms.get_rom_path(game))
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.emulators = [ale_py.ALEInterface() for _ in range(num_envs)]
        for emulator in self.emulators:
            emulator.setFloat("repeat_action_probability", sticky_actions)
            emulator.loadROM(self._rom)
        one = self.emulators[0]
        self._action_set = (
            one.getLegalActionSet() if full_action_space else one.getMinimalActionSet()
        )
        self._fires = fire_on_reset and ale_py.Action.FIRE in self._action_set
        self.num_actions = len(self._action_set)
        self.action_space = gym.spaces.Discrete(self.num_actions)
        self.action_names = tuple(action.name for action in self._action_set)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._lives = np.zeros(num_envs, np.int32)
        self._steps = np.zeros(num_envs, np.int64)
        self._ram = np.zeros((num_envs, one.getRAMSize()), np.uint8)
        self._newest = np.zeros((num_envs, *self.frame_shape), np.uint8)
        raw = SCREEN if screen else SCREEN[:2]
        self._raw = np.zeros((num_envs, 2, *raw), np.uint8)  # the last two pictures
        self._actions: np.ndarray | None = None

    def reset(self, seeds: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Starts games; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        where = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        for i, seed in zip(where.tolist(), seeds.tolist(), strict=True):
            self._start(i, seed)
        return self._newest[where]

    def _start(self, i: int, seed: int) -> None:
        emulator = self.emulators[i]
        if seed != GOES_ON:
            emulator.setInt("random_seed", seed)
            emulator.loadROM(self._rom)
            self._rngs[i] = np.random.default_rng(seed)
        emulator.reset_game()
        num_noops = int(self._rngs[i].integers(self._noop_max)) + 1 if self._noop_max else 0
        for _ in range(num_noops - self._fires):
            emulator.act(ale_py.Action.NOOP)
            if emulator.game_over():
                emulator.reset_game()
        if self._fires:
            emulator.act(ale_py.Action.FIRE)
        self._raw[i, 0] = 0
        self._read(emulator, self._raw[i, 1])
        self._show(i, self._raw[i, 1])
        emulator.getRAM(self._ram[i])
        self._steps[i], self._lives[i] = 0, emulator.lives()

    def send(self, actions: np.ndarray) -> None:
        """Keeps the actions for `recv`: these games step in this thread."""
        self._actions = actions

    def recv(self) -> FrameStep:
        """Steps; see :class:`~algorithms.envs.vector.FrameVectorEnv`."""
        assert self._actions is not None, "recv without send"
        reward = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, bool)
        for i, action in enumerate(self._actions.tolist()):
            reward[i], terminated[i] = self._step(i, self._action_set[action])
        self._actions = None
        self._steps += 1
        lives = np.array([emulator.lives() for emulator in self.emulators], np.int32)
        life_lost = (lives < self._lives) & ~terminated
        self._lives = lives
        return FrameStep(
            frame=self._newest.copy(),
            reward=reward,
            terminated=terminated,
            truncated=(self._steps * self._frame_skip >= self._max_frames) & ~terminated,
            life_lost=life_lost,
        )

    def _step(self, i: int, action: ale_py.Action) -> tuple[float, bool]:
        """Repeats an action; the reward, and whether the game is over."""
        emulator, raw = self.emulators[i], self._raw[i]
        reward, over = 0.0, False
        for left in range(self._frame_skip, 0, -1):
            reward += emulator.act(action)
            over = emulator.game_over()
            if over:
                break
            if left == 1 or (left == 2 and self._max_pool):
                self._read(emulator, raw[2 - left])
        if not over:  # else it stays that of the step before
            self._show(i, np.maximum(raw[0], raw[1]) if self._max_pool else raw[1])
        emulator.getRAM(self._ram[i])
        return reward, over

    def _read(self, emulator: ale_py.ALEInterface, out: np.ndarray) -> None:
        if self._screen:
            emulator.getScreenRGB(out)
        else:
            emulator.getScreenGrayscale(out)

    def _show(self, i: int, picture: np.ndarray) -> None:
        """Takes a console's picture for the newest."""
        if not self._screen:
            size = (FRAME_SIZE, self._height)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[self._rows]
        self._newest[i] = picture

    def moments(self, *, screen: bool = False) -> list[Moment]:
        """What each game shows now, with `ram`, (128,) uint8.

        Args:
            screen: With `screen` too, (210, 160, 3) uint8 RGB: the console's own picture.
        """
        moments = [
            Moment(observation=frame, info={"ram": ram})
            for frame, ram in zip(self._newest.copy(), self._ram.copy(), strict=True)
        ]
        if screen:
            for moment, emulator in zip(moments, self.emulators, strict=True):
                moment.info["screen"] = emulator.getScreenRGB()
        return moments

    def close(self) -> None:
        """Frees the emulators."""
        self.emulators = []
