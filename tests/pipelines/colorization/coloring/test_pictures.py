import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from arcadia.media import image_bytes, read_image, read_layers, write_image
from arcadia.storage import Storage
from pipelines.colorization.coloring.brush import Brush, features_of
from pipelines.colorization.coloring.pictures import color_pictures
from pipelines.colorization.coloring.plan import Item
from pipelines.colorization.coloring.results import Record
from pipelines.colorization.networks import Colorizer
from pipelines.colorization.spaces import split

from .conftest import make_network


def lab(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L* and (a*, b*) of a picture."""
    rgb = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    lightness, color = split(rgb, "lab")
    return 100 * lightness[0, 0].numpy(), 220 * (color[0].numpy() - 0.5)


@pytest.fixture
def brush(network: Colorizer) -> Brush:
    return Brush(network)


def test_the_lightness_is_the_inputs_and_the_colours_are_the_networks(brush, network, photo):
    result = brush(photo[None])[0]
    assert result.shape == photo.shape and result.dtype == np.uint8
    (before, _), (after, color) = lab(photo), lab(result)
    assert np.abs(before - after).max() < 1
    assert np.abs(color).max() > 10
    rgb = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    own = network.colorize(rgb)[0].permute(1, 2, 0).numpy()
    assert np.abs(own * 255 - result).max() <= 0.51


def test_the_input_may_be_grey_or_coloured(brush: Brush, photo: np.ndarray):
    grey = np.repeat(photo[:, :, 1:2], 3, axis=2)
    assert np.ptp(brush(grey[None])[0].astype(int), axis=2).min() > 5


def test_seen_smaller_the_lightness_stays_that_of_each_pixel(network: Colorizer, photo):
    large = np.kron(photo, np.ones((4, 4, 1), np.uint8))
    large[::2, ::2] //= 2  # detail that the small copy does not have
    whole, small = Brush(network)(large[None])[0], Brush(network, size=32)(large[None])[0]
    assert (whole != small).any()
    assert np.abs(lab(large)[0] - lab(small)[0]).max() < 1.5


def test_another_pictures_features_change_the_colours(network: Colorizer, photo: np.ndarray):
    other = 255 - photo[::-1]
    own = Brush(network, features=features_of(network, photo))(photo[None])
    np.testing.assert_allclose(own, Brush(network)(photo[None]), atol=1)
    borrowed = Brush(network, features=features_of(network, other))(photo[None])
    assert (borrowed != own).any()


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """Pictures of every kind, and damaged ones."""
    image = Image.fromarray(photo)
    alpha = np.dstack([photo, np.arange(photo[..., 0].size).reshape(photo.shape[:2]) % 256])
    write_image(tmp_path / "plain.jpg", photo)
    write_image(tmp_path / "other.jpg", photo[::-1])
    (tmp_path / "alpha.png").write_bytes(image_bytes(alpha.astype(np.uint8), ".png"))
    image.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(photo[:, :, 1].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    image.convert("CMYK").save(tmp_path / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "wrong.jpg").write_bytes(image_bytes(alpha.astype(np.uint8), ".png"))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "plain.jpg").read_bytes()[:200])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    return tmp_path


def test_pictures_of_every_kind_are_coloured_and_damaged_ones_named(folder, brush, photo):
    items = []
    for number, path in enumerate(sorted(folder.iterdir())):
        output = f"{path.stem}-{number}{path.suffix}"
        items.append(Item(number=number, source=str(path), output=output, is_film=False))
    outputs = Storage.at(folder / "out")
    results = list(color_pictures(items, brush, outputs))
    assert [item for item, _ in results] == items
    problems = {Path(i.source).name: r for i, r in results if isinstance(r, str)}
    assert problems.keys() == {"cut.jpg", "empty.png", "text.jpg"}
    for name, said in problems.items():
        assert said.startswith(f"{folder / name}: ")
    for item, result in results:
        if isinstance(result, Record):
            assert result.item == item.number
            assert result.stamp == outputs.stamp(item.output)
            data, seen = outputs.read_bytes(item.output), read_image(item.source)
            rgb, alpha = read_layers(data, item.output)
            assert rgb.shape == seen.shape
            with Image.open(io.BytesIO(data)) as image:
                assert image.format == ("PNG" if item.output.endswith("png") else "JPEG")
            if item.output.startswith("alpha"):
                assert alpha is not None and len(np.unique(alpha)) == 256
            else:
                assert alpha is None
            if not item.output.startswith("alpha"):
                assert np.abs(lab(seen)[0] - lab(rgb)[0]).mean() < 2
    sizes = {
        i.output.split("-")[0]: read_image(folder / "out" / i.output).shape
        for i in items
        if outputs.exists(i.output)
    }
    assert sizes["turned"] == (41, 30, 3) and sizes["plain"] == (30, 41, 3)


def test_neighbours_of_one_size_are_coloured_as_each_alone(folder, network):
    seen = []

    class Counting(Brush):
        def __call__(self, images):
            seen.append(len(images))
            return super().__call__(images)

    names = ["plain.jpg", "other.jpg", "print.jpg", "turned.jpg"]
    items = [
        Item(number=n, source=str(folder / name), output=f"{n}.png", is_film=False)
        for n, name in enumerate(names)
    ]
    outputs = Storage.at(folder / "out")
    assert len(list(color_pictures(items, Counting(network), outputs))) == 4
    assert seen == [3, 1]
    for item in items:
        alone = Brush(network)(read_image(item.source)[None])[0]
        together = read_image(folder / "out" / item.output)
        assert np.abs(alone.astype(int) - together).max() <= 1


def test_a_network_without_global_features_colours_too(photo: np.ndarray):
    network = make_network(global_features=False)
    assert np.abs(lab(photo)[0] - lab(Brush(network)(photo[None])[0])[0]).max() < 1
