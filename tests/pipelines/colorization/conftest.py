"""Prepared pictures, of two classes whose colours differ."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from arcadia.cli import main
from tests.pipelines.pictures import encoded

SIZE = 40


def picture(number: int) -> np.ndarray:
    """A disc that is red before green in one class and blue before yellow in the other."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:SIZE, :SIZE]
    disc = (x - rng.integers(12, 28)) ** 2 + (y - rng.integers(12, 28)) ** 2 < 100
    colors = [((210, 40, 30), (40, 160, 60)), ((30, 60, 200), (230, 210, 60))][number % 2]
    shade = rng.uniform(0.7, 1.0, (SIZE, SIZE, 1))
    return (np.where(disc[..., None], *colors) * shade).astype(np.uint8)


@pytest.fixture(scope="session")
def prepare(tmp_path_factory, ray_session) -> Callable[..., Path]:
    """Makes so many pictures ready, in row groups of eight; classes by turns, or none."""

    def make(count: int, *, names: tuple[str, ...] = ("warm", "cold"), first: int = 0) -> Path:
        root = tmp_path_factory.mktemp("pictures")
        for number in range(first, first + count):
            folder = root / names[number % len(names)] if names else root
            folder.mkdir(exist_ok=True)
            (folder / f"{number:03d}.png").write_bytes(encoded(picture(number), "PNG"))
        out = root.parent / f"{root.name}-ready"
        words = ["--size", str(SIZE), "--row-group-images", "8", "--seed", "3"]
        assert main(["places", "prepare", str(root), str(out), *words]) == 0
        return out

    return make


@pytest.fixture(scope="session")
def ready(prepare) -> Path:
    """100 pictures of two classes."""
    return prepare(100)
