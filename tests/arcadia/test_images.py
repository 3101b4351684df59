from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arcadia.errors import UserError
from arcadia.media import (
    image_bytes,
    png_bytes,
    read_image,
    read_layers,
    side_by_side,
    write_image,
)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)


def test_a_png_comes_back_exactly(tmp_path: Path, picture: np.ndarray):
    write_image(tmp_path / "new" / "a.png", picture)
    read = read_image(tmp_path / "new" / "a.png")
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, picture)
    assert os.listdir(tmp_path / "new") == ["a.png"]


def test_a_jpeg_comes_back_nearly(tmp_path: Path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[::-1, None]), -1)
    write_image(tmp_path / "a.JPG", smooth)
    np.testing.assert_allclose(read_image(tmp_path / "a.JPG").astype(int), smooth, atol=8)


def test_bytes_of_a_png_are_a_png(picture: np.ndarray):
    for image in (picture, picture[..., 0]):
        with Image.open(io.BytesIO(png_bytes(image))) as read:
            assert read.format == "PNG"
            np.testing.assert_array_equal(np.asarray(read), image)


def test_grey_transparent_deep_and_turned_pictures_become_rgb(tmp_path: Path):
    grey = np.array([[0, 100, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    Image.new("RGBA", (1, 1), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").tolist() == [[[255, 255, 255]]]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new("RGB", (3, 2)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (3, 2, 3)


def test_what_is_no_picture_is_told_in_one_line(tmp_path: Path, picture: np.ndarray):
    write_image(tmp_path / "wave.png", picture)
    with pytest.raises(UserError, match=r'wav\.png: no such file; did you mean "wave\.png"\?'):
        read_image(tmp_path / "wav.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "wave.png").read_bytes()[:300])
    with pytest.raises(UserError, match=r"half\.png: cannot read the picture"):
        read_image(tmp_path / "half.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(UserError, match=r"text\.png: is not a picture"):
        read_image(tmp_path / "text.png")
    with pytest.raises(UserError, match="cannot read the picture: Is a directory"):
        read_image(tmp_path)


def test_what_cannot_be_written_is_refused(tmp_path: Path, picture: np.ndarray):
    with pytest.raises(UserError, match=r'a\.xyz: no picture format is called "\.xyz"'):
        write_image(tmp_path / "a.xyz", picture)
    for wrong in (picture.astype(np.float32), picture[..., :2], picture[0, 0]):
        with pytest.raises(ValueError, match="want uint8"):
            write_image(tmp_path / "a.png", wrong)
    assert os.listdir(tmp_path) == []


def test_transparency_comes_apart_and_is_written_again():
    layers = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    rgb, alpha = read_layers(image_bytes(layers, ".png"), "picture.png")
    assert alpha is not None and (alpha == layers[:, :, 3]).all()
    assert (rgb == layers[:, :, :3]).all()  # as it is, not laid on white
    layers[:, :, 3] = 255
    rgb, alpha = read_layers(image_bytes(layers, ".png"), "picture.png")
    assert alpha is None and (rgb == layers[:, :, :3]).all()


def test_a_file_in_memory_is_called_by_its_name():
    with pytest.raises(UserError, match=r"s3://bucket/a\.jpg: is not a picture"):
        read_layers(b"hello", "s3://bucket/a.jpg")


def test_pictures_stand_side_by_side_at_one_size():
    pictures = {"a": np.zeros((10, 40, 3), np.uint8), "b": np.full((10, 40, 3), 255, np.uint8)}
    row = side_by_side(pictures, 160)
    assert row.shape == (40, 320, 3)
    assert (row[30:, :100] == 0).all() and (row[30:, 260:] == 255).all()


def test_a_script_is_no_picture(tmp_path: Path):
    # Pillow knows PostScript by its first bytes, whatever the name, and would start Ghostscript.
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "a.png").write_bytes(script)
    with Image.open(tmp_path / "a.png") as known:
        assert known.format == "EPS"
    with pytest.raises(UserError, match=r"a\.png: is not a picture"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [12_000, 30_000])
def test_a_head_that_promises_a_huge_picture_is_one_line(side: int, tmp_path: Path):
    data = bytearray(png_bytes(np.zeros((2, 2, 3), np.uint8)))
    data[16:24] = side.to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png: cannot read the picture"):
        read_image(tmp_path / "a.png")
    # Not here, where pytest hears all warnings.
    code = (
        "from arcadia.errors import UserError; from arcadia.media import read_image\n"
        f"try: read_image({str(tmp_path / 'a.png')!r})\n"
        "except UserError: pass"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = [sys.executable, "-c", code]
    done = subprocess.run(child, env=environment, capture_output=True, text=True, check=True)
    assert not done.stderr


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: is a pipe, a socket or a device; give a file"):
        read_image(tmp_path / "a.png")
