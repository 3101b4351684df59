import numpy as np
import pytest
import torch

from arcadia.errors import UserError
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.estimate import free_bytes, history_bytes
from pipelines.stylization.stylizer import Stylizer

STYLE = np.zeros((32, 32, 3), np.uint8)


def _stylizer(**options) -> Stylizer:
    return Stylizer(
        StyleOptions(content_layers=("relu2_1",), style_layers=("relu1_1",), **options), STYLE
    )


def test_a_frame_that_fits_is_not_cut():
    stylizer = _stylizer()
    whole = stylizer.needed_bytes((720, 1280))
    stylizer.fit((720, 1280), whole)
    assert stylizer.needed_bytes((720, 1280)) == whole


def test_a_frame_that_does_not_fit_is_cut_into_the_largest_parts_that_do():
    stylizer = _stylizer()
    whole = stylizer.needed_bytes((720, 1280))
    for share in (0.9, 0.5, 0.2):
        stylizer.fit((720, 1280), share * whole)
        assert 0.75 * share * whole < stylizer.needed_bytes((720, 1280)) <= share * whole
    stylizer.fit((720, 1280), whole)
    assert stylizer.needed_bytes((720, 1280)) == whole


def test_a_tile_of_the_options_stays():
    stylizer = _stylizer(tile=128)
    before = stylizer.needed_bytes((720, 1280))
    stylizer.fit((720, 1280), 1e12)
    assert stylizer.needed_bytes((720, 1280)) == before


def test_too_little_memory_is_an_error_that_says_how_much_is_missing():
    with pytest.raises(UserError, match=r"size 1280: .* GB are needed .* smaller --size"):
        _stylizer().fit((720, 1280), 1e5)


def test_the_history_is_two_hundred_frames_in_float32():
    size = (436, 1024)
    assert history_bytes(StyleOptions(), size) == pytest.approx(200 * 4 * 3 * 436 * 1024, rel=0.04)
    assert history_bytes(StyleOptions(optimiser="adam"), size) < 0.03 * history_bytes(
        StyleOptions(), size
    )


def test_this_machine_has_free_memory():
    assert 1e8 < free_bytes(torch.device("cpu")) < 1e14
