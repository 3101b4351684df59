"""Atari with its memory: the same games as on the native vector environment."""

import numpy as np
import pytest

from algorithms.envs import AtariFrames
from algorithms.envs.atari_ram import AtariRamFrames
from algorithms.envs.vector import GOES_ON


@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("montezuma_revenge", {}),
        ("montezuma_revenge", {"preprocess": "resize", "max_pool": True}),
        ("breakout", {"max_pool": True, "full_action_space": True}),
        ("space_invaders", {"frame_skip": 3}),
        ("pong", {"screen": True}),
    ],
)
def test_it_shows_what_the_native_environment_shows(game: str, options: dict):
    both = [cls(game, 2, noop_max=0, **options) for cls in (AtariFrames, AtariRamFrames)]
    native, own = both
    assert own.frame_shape == native.frame_shape and own.action_names == native.action_names
    seeds, rng = np.array([3, 4]), np.random.default_rng(0)
    np.testing.assert_array_equal(*(frames.reset(seeds) for frames in both))
    ended = 0
    for _ in range(600):
        actions = rng.integers(own.num_actions, size=2)
        for frames in both:
            frames.send(actions)
        one, two = native.recv(), own.recv()
        for name in ("reward", "terminated", "truncated", "life_lost"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)
        over = one.terminated | one.truncated
        np.testing.assert_array_equal(one.frame[~over], two.frame[~over])
        ended += int(over.sum())
        if over.any():
            again = np.full(int(over.sum()), GOES_ON)
            np.testing.assert_array_equal(*(frames.reset(again, over) for frames in both))
    for frames in both:
        frames.close()


def test_episodes_are_cut_where_the_native_ones_are():
    cut_at = []
    for cls in (AtariFrames, AtariRamFrames):
        frames = cls("pong", 1, noop_max=0, max_episode_frames=40)
        frames.reset(np.array([1]))
        steps, cut = 0, False
        while not cut:
            frames.send(np.array([0]))
            steps, cut = steps + 1, bool(frames.recv().truncated[0])
            assert steps < 100
        cut_at.append(steps)
    assert cut_at[0] == cut_at[1]


def test_the_memory_is_that_of_the_moment():
    frames = AtariRamFrames("montezuma_revenge", 2, noop_max=0)
    frames.reset(np.array([1, 1]))
    ram = frames.moments()[0].info["ram"]
    assert ram.shape == (128,) and ram.dtype == np.uint8
    assert ram[3] == 1  # room
    kept = ram.copy()
    xs = []
    for _ in range(20):
        frames.send(np.array([3, 4]))  # right, left
        frames.recv()
        xs.append([int(moment.info["ram"][42]) for moment in frames.moments()])
    assert xs[-1][0] > xs[0][0] and xs[-1][1] < xs[0][1]
    assert frames.moments()[0].info["ram"][42] == frames.emulators[0].getRAM()[42]
    np.testing.assert_array_equal(ram, kept)  # a copy: later steps leave it alone


def test_a_seed_repeats_the_game_with_its_no_op_starts():
    def play(seed: int) -> np.ndarray:
        frames = AtariRamFrames("montezuma_revenge", 1)
        rng, shown = np.random.default_rng(0), [frames.reset(np.array([seed]))[0]]
        for _ in range(30):
            frames.send(rng.integers(frames.num_actions, size=1))
            shown.append(frames.recv().frame[0])
        return np.stack(shown)

    np.testing.assert_array_equal(play(5), play(5))
    assert (play(5) != play(6)).any()


def test_the_screen_is_shown_to_those_who_ask():
    frames = AtariRamFrames("montezuma_revenge", 2, noop_max=0)
    frames.reset(np.array([1, 1]))
    assert set(frames.moments()[0].info) == {"ram"}
    screens = [moment.info["screen"] for moment in frames.moments(screen=True)]
    kept = screens[1].copy()
    assert kept.shape == (210, 160, 3) and kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, frames.emulators[1].getScreenRGB())
    for _ in range(10):
        frames.send(np.array([3, 4]))
        frames.recv()
    np.testing.assert_array_equal(screens[1], kept)  # a copy: later steps leave it alone
    assert (frames.moments(screen=True)[1].info["screen"] != kept).any()
