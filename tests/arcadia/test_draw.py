from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcadia.media import (
    bar_panel,
    draw_border,
    draw_label,
    draw_mask,
    draw_text,
    line_panel,
)
from arcadia.media.draw import ACCENT, BACKGROUND, COOL, GAIN

NAMES = ["NOOP", "FIRE", "RIGHT", "LEFT"]


def count(panel: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((panel == np.array(color, np.uint8)).all(-1).sum())


def test_text_is_drawn_on_a_copy():
    image = np.zeros((30, 100, 3), np.uint8)
    drawn = draw_text(image, "Pong", (4, 4), size=16)
    assert not image.any()
    assert drawn.dtype == np.uint8 and drawn.shape == image.shape
    assert drawn.max() > 200 and not drawn[:, 60:].any()


@pytest.mark.parametrize("xy", [(50, 30), (0, 0), (99, 59), (-500, 500)])
def test_a_label_is_never_cut_off(xy: tuple[int, int]):
    image = np.full((60, 100, 3), 200, np.uint8)
    drawn = draw_label(image, "key", xy, color=ACCENT, size=16)
    assert (image == 200).all()
    rows, columns = np.nonzero((drawn != 200).any(-1))
    whole = draw_label(image, "key", (50, 45), color=ACCENT, size=16)
    assert (drawn != 200).any(-1).sum() == (whole != 200).any(-1).sum()
    assert rows.min() > 0 and rows.max() < 59 and columns.min() > 0 and columns.max() < 99
    assert count(drawn, BACKGROUND) > 300 and count(drawn, ACCENT) > 10


def test_a_label_stands_above_its_place():
    drawn = draw_label(np.full((90, 200, 3), 200, np.uint8), "door", (100, 60), size=16)
    rows, columns = np.nonzero((drawn != 200).any(-1))
    assert 50 < rows.max() < 60 and columns.mean() == pytest.approx(100, abs=1)


def test_a_mask_is_tinted_and_outlined_and_nothing_else_is():
    image, mask = np.full((40, 60, 3), 100, np.uint8), np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 255
    drawn = draw_mask(image, mask, GAIN, opacity=0.5, outline=2)
    assert (drawn[mask == 0] == 100).all() and (image == 100).all()
    assert count(drawn, GAIN) == 20 * 30 - 16 * 26
    assert drawn[20, 35].tolist() == [round((100 + part) / 2) for part in GAIN]
    edge = np.zeros((40, 60), bool)
    edge[:, :3] = True  # at the picture's own edge it is outlined, too
    assert count(draw_mask(image, edge, GAIN, outline=1), GAIN) == 40 * 3 - 38


def test_a_border_lies_inside_the_edge():
    drawn = draw_border(np.zeros((40, 60, 3), np.uint8), 4, (100, 200, 50), 0.5)
    assert drawn[0, 0].tolist() == drawn[20, 3].tolist() == [50, 100, 25]
    assert not drawn[4:-4, 4:-4].any()
    assert drawn.any(-1).sum() == 40 * 60 - 32 * 52


def test_small_values_are_told_apart():
    def panel(values: list[float]) -> np.ndarray:
        return bar_panel(["a", "b"], values, None, 300, 100, lo=0, hi=0.02)

    first, second = panel([0.0112, 0.0]), panel([0.0068, 0.0])
    numbers = slice(235, None)  # right of the bars
    assert (first[:, numbers] != second[:, numbers]).any()


def test_longer_bars_stand_for_greater_values():
    areas = [
        count(bar_panel(["a", "b"], [value, 0.0], 0, 300, 100, lo=0, hi=4), ACCENT)
        for value in (0.5, 1.0, 2.0, 4.0)
    ]
    assert areas == sorted(areas) and areas[0] < areas[-1] / 3


def test_only_the_chosen_bar_is_bright():
    panel = bar_panel(NAMES, [1.0, 1.0, 2.0, 1.0], 2, 300, 200, title="Action values")
    assert panel.shape == (200, 300, 3)
    none = bar_panel(NAMES, [1.0, 1.0, 2.0, 1.0], None, 300, 200, title="Action values")
    assert count(panel, ACCENT) > 500 and count(none, ACCENT) == 0
    assert count(none, COOL) > count(panel, COOL) > 0


def test_the_bright_part_of_a_curve_ends_at_the_cursor():
    values = np.sin(np.arange(100) / 5)
    early, late = (line_panel(values, 300, 120, cursor=cursor) for cursor in (20, 80))
    columns = [
        (panel == np.array(ACCENT)).all(-1).any(0).nonzero()[0].max() for panel in (early, late)
    ]
    assert columns[0] < 150 < columns[1]


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=18),
    width=st.integers(60, 500),
    height=st.integers(40, 400),
    title=st.sampled_from(["", "A title that is rather long"]),
)
def test_any_values_and_sizes_can_be_drawn(values, width: int, height: int, title: str):
    names = [f"ACTION{index}" for index in range(len(values))]
    for panel in (
        bar_panel(names, values, 0, width, height, title=title),
        line_panel(values, width, height, title=title),
    ):
        assert panel.dtype == np.uint8 and panel.shape == (height, width, 3)


def test_an_empty_curve_can_be_drawn_but_no_empty_bars():
    assert line_panel([], 100, 50).shape == (50, 100, 3)
    with pytest.raises(ValueError, match="a value for each name, got 2 and 1"):
        bar_panel(["a", "b"], [1.0], 0, 100, 100)
