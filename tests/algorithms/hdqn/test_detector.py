"""Sprites are found where they were drawn, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.hdqn.boxes import Box
from algorithms.hdqn.detector import PixelDetector, Sprite, shape
from arcadia.errors import UserError

RED, BLUE = (200, 10, 10), (10, 10, 200)
WHOLE = Box(0, 0, 40, 30)
HOOK = shape(
    "####.",
    "#....",
    "#.##.",
    "####.",
)


def sprite(**fields) -> Sprite:
    defaults = dict(name="hook", colors=(RED,), region=WHOLE, shapes=(HOOK,))
    return Sprite(**(defaults | fields))


def drawn(x: int, y: int, pattern: np.ndarray = HOOK, color=RED) -> np.ndarray:
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[y : y + pattern.shape[0], x : x + pattern.shape[1]][pattern > 0] = color
    return picture


@given(x=st.integers(0, 35), y=st.integers(0, 26))
@settings(max_examples=60, deadline=None)
def test_a_sprite_is_found_anywhere_up_to_the_edges(x: int, y: int):
    found = PixelDetector([sprite()]).find(drawn(x, y))
    assert found == {"hook": Box(x, y, 5, 4)}


def test_what_is_not_there_is_missing():
    detector = PixelDetector([sprite()])
    assert detector.find(np.zeros((30, 40, 3), np.uint8)) == {}
    assert detector.find(drawn(7, 7, color=BLUE)) == {}
    assert detector.find(drawn(7, 7, HOOK[:, ::-1])) == {}  # another shape
    assert detector.find(drawn(7, 7, np.ones((4, 5), np.uint8))) == {}


def test_it_is_found_in_its_region_only():
    detector = PixelDetector([sprite(region=Box(10, 5, 20, 20))])
    assert detector.find(drawn(3, 7)) == {}
    assert detector.find(drawn(12, 7)) == {"hook": Box(12, 7, 5, 4)}


def test_any_of_its_poses_and_colours_will_do():
    detector = PixelDetector([sprite(colors=(RED, BLUE), shapes=(HOOK, HOOK[::-1].copy()))])
    for color in (RED, BLUE):
        assert detector.find(drawn(8, 9, HOOK[::-1], color)) == {"hook": Box(8, 9, 5, 4)}
    both = drawn(8, 9)
    both[9, 8:12] = BLUE
    assert detector.find(both) == {"hook": Box(8, 9, 5, 4)}


def test_a_part_that_is_covered_counts_against_it():
    picture = drawn(8, 9)
    picture[9, 8:10] = 0  # 2 of 20 pixels
    assert PixelDetector([sprite(least_agreement=0.9)]).find(picture)
    assert not PixelDetector([sprite(least_agreement=0.95)]).find(picture)


def test_a_box_hangs_from_the_middle_of_the_shape():
    found = PixelDetector([sprite(size=(8, 20))]).find(drawn(10, 2))
    assert found == {"hook": Box(8.5, 2, 8, 20)}


def test_without_a_shape_it_is_all_that_has_its_colour():
    picture = drawn(4, 6)
    picture[20, 30] = RED
    assert PixelDetector([sprite(shapes=())]).find(picture) == {"hook": Box(4, 6, 27, 15)}


def test_each_sprite_is_found_for_itself():
    picture = drawn(4, 6)
    picture[20:24, 30:35][HOOK > 0] = BLUE
    other = sprite(name="other", colors=(BLUE,))
    found = PixelDetector([sprite(), other]).find(picture)
    assert found == {"hook": Box(4, 6, 5, 4), "other": Box(30, 20, 5, 4)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"least_agreement": 0.0}, 'sprite "hook": least_agreement 0.0: must be above 0'),
        ({"colors": ()}, 'sprite "hook": has no colours'),
        ({"region": Box(0, 0, 4, 4)}, "a shape of 5x4 pixels; its region has 4x4"),
    ],
)
def test_mistakes_are_named(fields: dict, message: str):
    with pytest.raises(UserError, match=message):
        sprite(**fields)


def test_two_of_a_name_are_refused():
    with pytest.raises(UserError, match='sprite "hook": is there twice'):
        PixelDetector([sprite(), sprite()])
