"""The film of both levels: masks lie where the game shows their goals, and rewards flash."""

import dataclasses
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from algorithms.dqn.playing import load_runner
from algorithms.dqn.screens import Screens
from algorithms.dqn.watch import in_columns
from algorithms.envs.atari import SCREEN, on_screen
from algorithms.envs.atari_ram import AtariRamFrames
from algorithms.hdqn import HDQNConfig
from algorithms.hdqn.key_door import KeyDoorGoals
from algorithms.hdqn.montezuma import OBJECTS, mask_of
from algorithms.hdqn.watch import GoalFilm
from arcadia.cli import main
from arcadia.media import probe, read_video
from arcadia.media.draw import ACCENT, GAIN, LOSS
from arcadia.runs import RunFolder
from tests.algorithms.hdqn.short_runs import make_run


def watched(capsys, run: RunFolder, *words: str) -> dict[str, Any]:
    assert main(["watch", run.uri, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(("preprocess", "crop_top"), [("crop", 18), ("crop", 0), ("resize", 18)])
def test_masks_lie_over_their_boxes_on_the_screen(preprocess: str, crop_top: int):
    for name, box in OBJECTS.items():
        screen = on_screen(mask_of(box, preprocess, crop_top), preprocess, crop_top)
        assert screen.shape == SCREEN[:2]
        rows, columns = (np.flatnonzero(screen.any(axis=axis)) for axis in (1, 0))
        # A pixel of the agent's is up to 2.5 of the console's rows, and 1.9 of its columns.
        assert abs(columns[0] - box.x) <= 2 and abs(columns[-1] + 1 - box.x - box.width) <= 2, name
        cut = 210 * (crop_top + 84) / 110 if preprocess == "crop" else 210
        last = min(box.y + box.height, cut)
        assert abs(rows[0] - box.y) <= 2.5 and abs(rows[-1] + 1 - last) <= 2.5, name


@pytest.mark.parametrize("preprocess", ["crop", "resize"])
def test_every_pixel_comes_back_to_itself(preprocess: str):
    """The emulator's picture, prepared as the agent's, and put back on the screen."""
    numbers = np.arange(84 * 84).reshape(84, 84)
    screen = on_screen(numbers, preprocess, 18)
    seen = screen[34:195] if preprocess == "crop" else screen
    assert set(np.unique(seen)) == set(range(84 * 84))
    assert (np.diff(seen[:, 0]) >= 0).all() and (np.diff(seen[0]) >= 0).all()


def test_the_twin_shows_what_is_played(montezuma_run):
    runner = load_runner(montezuma_run, num_envs=1, seed=5, picture=True, config_class=HDQNConfig)
    screens, start = Screens(runner, 5), runner.options.noop_max
    assert start > 0  # the number of no-ops at the start has to be the same, too
    twin = screens._twin
    assert isinstance(twin, AtariRamFrames) and isinstance(runner.frames, AtariRamFrames)
    runner.reset(np.array([5]))
    pictures = set()
    for _ in range(120):
        played, shown = runner.frames.moments()[0].info["ram"], twin.moments()[0].info["ram"]
        np.testing.assert_array_equal(played, shown)
        pictures.add(screens.encoded())
        screens.send(int(runner.start_step(1.0)[0]))
        runner.finish_step()
        runner.forget()
        screens.recv()
    assert len(pictures) > 60
    runner.stop()


def test_a_goal_of_the_gridworld_is_a_cell():
    mask = KeyDoorGoals().picture_mask(0, (192, 408))
    assert mask.shape == (192, 408)
    assert mask[24:48, 24:48].all() and mask.sum() == 255 * 24 * 24


def test_an_episode_is_filmed_with_its_goals(key_door_run, capsys):
    film = watched(capsys, key_door_run, "--epsilon", "0")
    assert film["goals"] == [["key", False]] * 4
    assert (film["steps"], film["ended"], film["intrinsic"]) == (100, True, 0.0)
    info = probe(film["film"])
    assert (info.num_frames, info.fps) == (108, 8)  # and the end for a second
    first = next(iter(read_video(film["film"])))
    top, cell = (630 - 452) // 2, 452 / 8
    outline = first[int(top + cell) + 1, int(1.5 * cell)].astype(int)
    assert np.abs(outline - ACCENT).max() < 60
    assert key_door_run.read_bytes("value.png").startswith(b"\x89PNG")


def test_a_game_is_filmed_with_its_masks(montezuma_run, capsys):
    film = watched(capsys, montezuma_run, "--max-seconds", "3")
    info = probe(film["film"])
    assert (info.num_frames, film["steps"], info.fps) == (45, 45, 15)
    assert {name for name, _ in film["goals"]} <= set(OBJECTS)
    # Both columns of panels: eighteen actions take one of their own.
    assert next(iter(read_video(film["film"]))).shape == (630, 480 + 2 * 380, 3)


def test_what_the_critic_pays_flashes_at_the_goal_and_fades(key_door_run):
    runner = load_runner(key_door_run, num_envs=1, seed=0, picture=True, config_class=HDQNConfig)
    film = GoalFilm(runner, 0)
    film.play(0.0, 12)
    assert film.screens.fps == Fraction(8)
    plain = film.moments[0]

    def edge(*moments: Any) -> np.ndarray:
        return film.draw_picture(list(moments), len(moments) - 1)[100, 2]

    def other(**changes: Any) -> Any:
        return dataclasses.replace(plain, **changes)

    ground = edge(plain)
    assert edge(other(gain=1.0, ended=3)).tolist() == list(GAIN)
    assert edge(other(gain=-200.0, ended=3)).tolist() == list(LOSS)
    later = [edge(other(gain=1.0, ended=3), *[plain] * n) for n in range(6)]
    distance = [int(np.abs(color.astype(int) - ground).sum()) for color in later]
    assert distance == sorted(distance, reverse=True)
    assert distance[0] > distance[2] > distance[4] == 0  # 0.6 s at 8 frames a second
    runner.stop()


def test_what_is_paid_is_told_in_its_turn(key_door_run):
    runner = load_runner(key_door_run, num_envs=1, seed=3, picture=True, config_class=HDQNConfig)
    film = GoalFilm(runner, 3)
    assert film.play(1.0, 200)
    reached = sum(hit for _, hit in film.told()["goals"])
    assert film.told()["intrinsic"] == reached
    gains = np.array([moment.gain for moment in [*film.moments, film._end]])
    assert reached > 0, "another seed is needed: this player reaches nothing"
    assert gains.sum() == reached and set(gains) == {0.0, 1.0}
    assert film.moments[0].gain == 0
    for before, now in zip(film.moments, film.moments[1:], strict=False):
        assert now.intrinsic == before.intrinsic + now.gain
        if now.gain:
            assert now.ended == before.goal
        if now.ended is None:
            assert now.goal == before.goal and (now.goal_values == before.goal_values).all()
    runner.stop()


def test_panels_take_as_many_columns_as_they_need():
    panels = [np.full((height, 10, 3), i, np.uint8) for i, height in enumerate((40, 50, 20, 70))]
    columns = in_columns(panels, 100)
    assert columns.shape == (100, 20, 3)
    assert columns[:90, 0, 0].tolist() == [0] * 40 + [1] * 50
    assert columns[:90, 10, 0].tolist() == [2] * 20 + [3] * 70


@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_an_environment_without_pictures_says_so(tmp_path, capsys):
    run = make_run(tmp_path / "run", env="Chain-v0")
    assert main(["watch", run.uri]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'env "Chain-v0": cannot be made with the render mode' in error
