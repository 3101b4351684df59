"""What people see of a game that is played: the console's own picture, in its colours.

A game is shown in its own resolution: a second emulator, seeded and stepped like the one the agent
plays, draws it. Other environments draw themselves.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from algorithms.dqn.runner import DQNRunner
from algorithms.dqn.stacks import make_frames
from algorithms.envs import GymnasiumFrames
from algorithms.replay import FrameCodec
from arcadia.errors import UserError

_EMULATOR_FPS = 60


class Screens:
    """Pictures for people of what a runner's first environment plays.

    Args:
        runner: Of one environment; its first episode is shown.
        seed: That the episode starts with.

    Raises:
        UserError: the environment draws no pictures.
    """

    def __init__(self, runner: DQNRunner, seed: int) -> None:
        self._runner = runner
        frames = runner.frames
        if isinstance(frames, GymnasiumFrames):
            self._twin = None
            self.fps = Fraction(frames.env.metadata.get("render_fps") or 30)
            self._picture = np.zeros(0, np.uint8)
            frames.reset(np.array([seed]))
            self._render()
        else:
            self._twin = make_frames(runner.options, lambda i: None, num_envs=1, screen=True)  # type: ignore[arg-type, return-value]
            self.fps = Fraction(_EMULATOR_FPS, runner.options.frame_skip)
            self._picture = self._twin.reset(np.array([seed]))[0]
        self._codec = FrameCodec(self._picture.shape, np.uint8, "lz4")

    def encoded(self) -> bytes:
        """The picture of now."""
        return self._codec.encode(self._picture)

    def decoded(self, picture: bytes) -> np.ndarray:
        """(H, W, 3) uint8 of an encoded picture."""
        out = np.empty(self._picture.shape, np.uint8)
        self._codec.decode_into(picture, out)
        return out

    def send(self, action: int) -> None:
        """Starts the step that the runner starts."""
        if self._twin is not None:
            self._twin.send(np.array([action]))

    def recv(self) -> None:
        """Waits for it; the runner's environments have finished theirs."""
        if self._twin is not None:
            self._picture = self._twin.recv().frame[0]
        else:
            self._render()

    def _render(self) -> None:
        rendered = self._runner.frames.env.render()  # type: ignore[attr-defined]
        if not rendered or not isinstance(rendered[0], np.ndarray):
            raise UserError(
                f'env "{self._runner.options.env}": draws no picture '
                '(no render mode "rgb_array"); it cannot be filmed'
            )
        self._picture = np.ascontiguousarray(rendered[0])
