"""The options of the network: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from arcadia.errors import UserError
from pipelines.colorization.config import NetworkOptions


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (dict(width=0.0), "width 0.0: must be above 0"),
        (dict(width=float("nan")), "width nan"),
        (dict(image_size=220), "image_size 220: must be a multiple of 32"),
        (dict(image_size=0), "image_size 0"),
        (dict(colorspace="lba"), 'colorspace "lba": must be lab, yuv, rgb; did you mean "lab"'),
        (dict(fusion="tanh"), 'fusion "tanh": must be relu, sigmoid'),
    ],
)
def test_what_is_out_of_range_is_named(values: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        NetworkOptions(**values)


def test_defaults_are_the_papers():
    options = NetworkOptions()
    assert (options.width, options.image_size, options.colorspace) == (1.0, 224, "lab")
    assert (options.fusion, options.global_features) == ("relu", True)
