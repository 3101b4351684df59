"""Atari on the native vector environment, against the emulator itself."""

import ale_py
import cv2
import numpy as np
import pytest

from algorithms.envs import AtariFrames, atari_games
from arcadia.errors import UserError


def play(frames: AtariFrames, steps: int, seed: int = 0, reset_seed: int = 0):
    """Random play: yields what each step brought."""
    rng = np.random.default_rng(seed)
    frames.reset(reset_seed + np.arange(frames.num_envs))
    for _ in range(steps):
        frames.send(rng.integers(frames.num_actions, size=frames.num_envs))
        yield (step := frames.recv())
        if (over := step.terminated | step.truncated).any():
            frames.reset(rng.integers(2**31, size=int(over.sum())), over)


def test_frames_are_single_grey_84_by_84_bytes():
    frames = AtariFrames("pong", 3)
    first = frames.reset(np.arange(3))
    assert first.shape == (3, 84, 84)
    assert first.dtype == np.uint8
    assert frames.num_actions == 6
    assert frames.action_names[0] == "NOOP"


def test_the_crop_is_84_rows_of_the_110_by_84_picture():
    top = 18
    frames = AtariFrames(
        "pong", 1, crop_top=top, noop_max=0, fire_on_reset=False, frame_skip=4, max_pool=False
    )
    for step in play(frames, 40):
        mine = step.frame[0]
    # The same game on the plain emulator, scaled by OpenCV.
    emulator = ale_py.ALEInterface()
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator.setInt("random_seed", 0)
    emulator.setFloat("repeat_action_probability", 0.0)
    emulator.loadROM(ale_py.roms.get_rom_path("pong"))
    actions, rng = emulator.getMinimalActionSet(), np.random.default_rng(0)
    for _ in range(40):
        action = actions[rng.integers(len(actions), size=1)[0]]
        for _ in range(4):
            emulator.act(action)
    grey = emulator.getScreenGrayscale()
    scaled = cv2.resize(grey, (84, 110), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(mine.astype(int), scaled[top : top + 84].astype(int), atol=2)


def test_the_crop_keeps_pongs_whole_field_and_nothing_else():
    def first(crop_top: int) -> np.ndarray:
        return AtariFrames("pong", 1, crop_top=crop_top, noop_max=0).reset(np.array([0]))[0]

    field = first(18)
    background = np.bincount(field.ravel()).argmax()
    assert (field == background).mean() > 0.98
    assert (field[0] == background).all()
    assert (field[82] == background).all()
    # A row further up or down, a wall is all of a row of the picture.
    assert not (first(17)[0] == background).any()
    assert not (first(19)[83] == background).any()


@pytest.mark.parametrize(("game", "skip"), [("pong", 4), ("space_invaders", 3)])
def test_an_action_is_repeated_for_frame_skip_emulator_frames(game: str, skip: int):
    frames = AtariFrames(game, 1, frame_skip=skip, noop_max=0, fire_on_reset=False)
    frames.reset(np.array([0]))
    numbers = []
    for _ in range(5):
        frames._env.send(np.zeros(1, np.int64))
        numbers.append(int(frames._env.recv()[-1]["episode_frame_number"][0]))
    assert np.diff(numbers).tolist() == [skip] * 4


def test_a_lost_life_is_told_and_the_game_goes_on():
    frames = AtariFrames("breakout", 1)
    lost = ended_at = 0
    for number, step in enumerate(play(frames, 2_000)):
        if step.terminated[0]:
            ended_at = number
            break
        lost += int(step.life_lost[0])
    assert lost == 4  # the fifth ends the game
    assert ended_at > 0


def test_a_reset_starts_only_those_of_its_mask():
    rng = np.random.default_rng(0)
    frames, alone, whole = (AtariFrames("breakout", n) for n in (3, 1, 3))
    for games in (frames, whole):
        games.reset(np.array([5, 6, 7]))
    for _ in range(30):
        actions = rng.integers(4, size=3)
        for games in (frames, whole):
            games.send(actions)
            games.recv()
    first = frames.reset(np.array([99]), np.array([False, True, False]))
    np.testing.assert_array_equal(first, alone.reset(np.array([99])))
    for _ in range(200):
        actions = rng.integers(4, size=3)
        for games, sent in ((frames, actions), (alone, actions[1:2]), (whole, actions)):
            games.send(sent)
        step, one, before = frames.recv(), alone.recv(), whole.recv()
        np.testing.assert_array_equal(step.frame[1], one.frame[0])
        np.testing.assert_array_equal(step.frame[[0, 2]], before.frame[[0, 2]])
        np.testing.assert_array_equal(step.life_lost[1], one.life_lost[0])
        if (step.terminated | before.terminated).any():
            break


def test_rewards_are_the_games_own():
    frames = AtariFrames("space_invaders", 4, frame_skip=3)
    rewards = np.concatenate([step.reward for step in play(frames, 300)])
    assert rewards.dtype == np.float32
    assert rewards.max() >= 5  # an invader is worth 5 to 30, never 1


def test_a_long_game_is_truncated_not_terminated():
    frames = AtariFrames("pong", 1, max_episode_frames=200, noop_max=0)
    ends = [(s.terminated[0], s.truncated[0]) for s in play(frames, 60)]
    first = next(i for i, end in enumerate(ends) if any(end))
    assert ends[first] == (False, True)
    assert 45 <= first <= 52  # 200 emulator frames are 50 steps of 4


def test_the_screen_shows_the_same_game():
    kwargs = {"noop_max": 30, "frame_skip": 4}
    agent = AtariFrames("breakout", 1, preprocess="resize", max_pool=True, **kwargs)
    screen = AtariFrames("breakout", 1, screen=True, **kwargs)
    for mine, shown in zip(play(agent, 300, 1, 7), play(screen, 300, 1, 7), strict=True):
        assert mine.reward == shown.reward
        assert mine.terminated == shown.terminated
        assert mine.life_lost == shown.life_lost
    assert shown.frame.shape == (1, 210, 160, 3)
    grey = cv2.cvtColor(shown.frame[0], cv2.COLOR_RGB2GRAY)
    scaled = cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA)
    difference = np.abs(mine.frame[0].astype(int) - scaled.astype(int))
    assert np.median(difference) <= 8
    assert np.percentile(difference, 98) < 40


def test_the_same_seed_plays_the_same_game():
    one = [s.frame.copy() for s in play(AtariFrames("pong", 2), 100, reset_seed=5)]
    two = [s.frame.copy() for s in play(AtariFrames("pong", 2), 100, reset_seed=5)]
    other = [s.frame.copy() for s in play(AtariFrames("pong", 2), 100, reset_seed=6)]
    np.testing.assert_array_equal(one, two)
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_an_unknown_game_names_the_nearest():
    with pytest.raises(UserError, match='game "pnog": no such ROM; did you mean "pong"'):
        AtariFrames("pnog", 1)
    assert {"pong", "breakout", "montezuma_revenge"} <= set(atari_games())
