"""A network of a moment, and small pictures and films."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from arcadia.media import VideoWriter
from pipelines.colorization.files import save_colorizer
from pipelines.colorization.networks import Colorizer


def scene(shot: int, index: int) -> np.ndarray:
    """A square that moves over stripes, of other lightness in each shot; uint8 (32, 48, 3)."""
    y, x = np.mgrid[:32, :48]
    picture = np.stack([x * 2 + 60, y * 3 + 70, (x + y) + 80], -1).astype(np.uint8)
    if shot % 2:
        picture = 255 - picture // 2
    left = 2 + 2 * (index % 16)
    picture[8:20, left : left + 12] = 200 if shot % 2 == 0 else 20
    return picture


def make_network(**options) -> Colorizer:
    """One whose colours differ from place to place, and with the global features."""
    torch.manual_seed(0)
    network = Colorizer(5, width=0.1, image_size=32, **options).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):  # what goes in is as strong as what comes out
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    last = network.colorization[-1]
    with torch.no_grad():
        fusion = network.fusion.linear
        fusion.weight[:, fusion.out_channels :].mul_(40)  # those of the global features
        last.weight.mul_(0.5)
        last.bias.copy_(torch.logit(0.5 + torch.tensor([15.0, 25.0]) / 220))
    return network


@pytest.fixture(scope="session")
def network() -> Colorizer:
    return make_network()


@pytest.fixture(scope="session")
def weights(tmp_path_factory, network: Colorizer) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("network") / "colorizer.safetensors"
    save_colorizer(network, path)
    return path


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 (30, 41, 3), whose sides are no multiples of 8."""
    y, x = np.mgrid[:30, :41]
    return np.stack([60 + 3 * x, 90 + 2 * y, 70 + x + y], -1).astype(np.uint8)


@pytest.fixture(scope="session")
def make_film() -> Callable[..., Path]:
    """Writes a film of shots of these lengths; a cut is found between shots of 15 frames."""

    def make(path: Path, *lengths: int, **options) -> Path:
        with VideoWriter(path, 25, crf=5, **options) as video:
            for shot, length in enumerate(lengths):
                for index in range(length):
                    video.write(scene(shot, index))
        return path

    return make
