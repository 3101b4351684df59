"""The figure of section 5.2: which stretch, which turning points, and the picture."""

import io

import numpy as np
from PIL import Image

from algorithms.dqn.value_figure import stretch_of, turning_points, value_figure


def test_the_stretch_is_where_the_value_moves_most():
    values = np.zeros(500)
    values[100:110] = 1.0
    values[300], values[310] = 2.0, -3.0
    part = stretch_of(values, 100)
    assert (part.start, part.stop) == (255, 355)  # the extremes amid it
    assert stretch_of(values[:60], 100) == slice(0, 60)
    values[3] = 40.0  # at the start there is nothing before it
    assert stretch_of(values, 100) == slice(0, 100)
    late = np.zeros(200)
    late[199] = 1.0
    assert stretch_of(late, 100).stop == 200


def test_turning_points_are_the_prominent_peaks_and_valleys():
    x = np.linspace(0, 2 * np.pi, 101)
    assert turning_points(np.sin(x)) == [25, 75]
    noisy = np.sin(x) + 0.01 * np.cos(40 * x)
    assert all(abs(a - b) <= 2 for a, b in zip(turning_points(noisy), [25, 75], strict=True))
    assert turning_points(np.linspace(0, 1, 50)) == [0, 49]  # no turn: its ends
    assert turning_points(np.ones(50)) == [0]
    many = np.sin(np.linspace(0, 20 * np.pi, 400)) * np.linspace(1, 2, 400)
    assert len(turning_points(many)) == 4
    assert np.diff(turning_points(many)).min() >= 26


def test_the_figure_shows_the_screens_at_the_turning_points():
    asked = []

    def picture(step: int) -> np.ndarray:
        asked.append(step)
        return np.full((210, 160, 3), (0, 200, 0), np.uint8)

    values = np.sin(np.linspace(0, 2 * np.pi, 101))
    png = value_figure(values, np.arange(101) // 50, picture, "Pong")
    assert asked == [25, 75]
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert image.shape[1] == 1080
    green = (image == (0, 200, 0)).all(axis=2)
    columns = np.flatnonzero(green.any(axis=0))
    assert (np.diff(columns) > 1).sum() == 1  # two screens side by side
    flat = value_figure([0.5], [0.0], picture, "one step")
    assert flat[:4] == b"\x89PNG"
