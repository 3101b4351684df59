"""What a frame begins from decides whether the search gets anywhere."""

from pathlib import Path

import pytest

from arcadia.media import open_source, read_image, resized, scaled_size
from pipelines.stylization.config import StyleOptions
from pipelines.stylization.stylizer import Stylizer


@pytest.mark.parametrize("number", [54, 58])
def test_a_frame_is_found_from_noise(test_data: Path, number: int):
    source = open_source(test_data / "videos" / "bikes.mp4")
    image = next(iter(source.frames(number, number + 1))).image
    content = resized(image, scaled_size(*image.shape[:2], 96))
    stylizer = Stylizer(StyleOptions(), read_image(test_data / "styles" / "starry_night.jpg"))
    began, ended = (
        stylizer.paint(number, content, start=None, iterations=count).losses["total"]
        for count in (1, 30)
    )
    # Half way at best where the search leaps away, as from an almost flat picture.
    assert ended < 0.1 * began
