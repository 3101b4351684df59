from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.flow import MovingScene, warp


def test_occluded_pixels_are_counted_by_hand():
    # A disc of five pixels steps to the right over a still ground.
    scene = MovingScene(
        height=5, width=8, radius=1.2, pan=(0, 0), velocity=(1, 0), center=(3.0, 2.0)
    )
    assert [tuple(place) for place in np.argwhere(scene.disc(0))] == [
        (1, 3), (2, 2), (2, 3), (2, 4), (3, 3),
    ]  # fmt: skip
    uncovered = [tuple(place) for place in np.argwhere(scene.occluded(0, 1))]
    assert uncovered == [(1, 3), (2, 2), (3, 3)]
    covered = [tuple(place) for place in np.argwhere(scene.occluded(1, 0))]
    assert covered == [(1, 4), (2, 5), (3, 4)]
    assert scene.flow(0, 1)[:, 2, 3].tolist() == [1, 0] and not scene.flow(0, 1)[:, 0].any()
    assert scene.flow(1, 0)[:, 2, 3].tolist() == [-1, 0]


def test_a_pan_uncovers_what_comes_into_the_frame():
    scene = MovingScene(height=4, width=6, radius=0, pan=(2, -1))
    occluded = scene.occluded(0, 1)
    assert occluded[:, :2].all() and occluded[3].all() and not occluded[:3, 2:].any()
    assert not scene.disc(0).any()


@pytest.mark.parametrize("velocity", [(-5.0, 2.0), (2.5, -1.25)])
@pytest.mark.parametrize(("since", "to"), [(0, 1), (1, 0), (0, 3)])
def test_the_flow_is_that_of_the_frames(velocity: tuple[float, float], since: int, to: int):
    scene = MovingScene(height=96, width=128, radius=24, pan=(3.0, 0.5), velocity=velocity)
    past, now = (
        torch.from_numpy(scene.frame(index)).permute(2, 0, 1).float() for index in (since, to)
    )
    error = (warp(past, torch.from_numpy(scene.flow(to, since))) - now).abs().mean(dim=0).numpy()
    # Where the edge is smoothed, colours mix: leave out a band around it.
    near = sum(np.abs(scene._distance(index)) < 2 + 8 * abs(to - since) for index in (since, to))
    same = ~scene.occluded(since, to) & (near == 0)
    assert same.mean() > 0.2 and error[same].mean() < 3
    assert error[scene.occluded(since, to)].mean() > 4 * error[same].mean()


def test_it_is_the_same_film_each_time():
    scene = MovingScene(height=20, width=30, radius=5, seed=3)
    assert (scene.frame(2) == MovingScene(height=20, width=30, radius=5, seed=3).frame(2)).all()
    assert (scene.frame(2) != scene.frame(3)).any()
    other = MovingScene(height=20, width=30, radius=5, seed=4)
    assert (scene.frame(2) != other.frame(2)).mean() > 0.9
    assert scene.frame(0).dtype == np.uint8 and scene.frame(0).std() > 20


def test_what_the_disc_hides_for_a_while_comes_back():
    scene = MovingScene(height=48, width=96, radius=5, pan=(0, 0), velocity=(4, 0))
    hidden = scene.occluded(3, 4)
    # The disc is 10 px wide and does 4 a frame: after 3 frames all of it is uncovered.
    assert hidden.any() and (scene.occluded(0, 4) & hidden).sum() == 0
