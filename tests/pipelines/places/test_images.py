"""Every kind of file that is found among pictures."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from pipelines.places.config import PrepareOptions
from pipelines.places.images import (
    Prepared,
    Rejected,
    has_little_color,
    prepare_image,
)
from tests.pipelines.pictures import colorful, decoded, encoded

OPTIONS = PrepareOptions(size=32, quality=100)
PICTURE = colorful(48, 64)


def prepared(data: bytes, options: PrepareOptions = OPTIONS) -> np.ndarray:
    """Its square, or a failure that says why it is none."""
    result = prepare_image(data, options)
    assert isinstance(result, Prepared), result
    picture = decoded(result.jpeg)
    assert picture.shape == (options.size, options.size, 3)
    return picture


def corners(picture: np.ndarray) -> np.ndarray:
    """The colours of its four fields, (2, 2, 3), away from their borders."""
    size = len(picture)
    near, far = size // 5, size - 1 - size // 5
    return picture[np.ix_([near, far], [near, far])].astype(int)


def assert_same_fields(picture: np.ndarray, expected: np.ndarray, tolerance: int = 10):
    assert np.abs(corners(picture) - corners(expected)).max() <= tolerance


def test_the_short_side_is_resized_and_the_middle_of_the_long_one_is_kept():
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, :32], picture[:, 96:] = (255, 255, 0), (0, 255, 255)  # outside of the middle
    picture[:, 32:64], picture[:, 64:96] = (255, 0, 0), (0, 0, 255)
    for turned in (picture, picture.transpose(1, 0, 2)):
        result = prepare_image(encoded(turned), OPTIONS)
        assert isinstance(result, Prepared)
        assert (result.height, result.width) == turned.shape[:2]
        square = decoded(result.jpeg)
        square = square if turned is picture else square.transpose(1, 0, 2)
        assert np.abs(square[:, :14].astype(int) - (255, 0, 0)).max() < 12
        assert np.abs(square[:, 18:].astype(int) - (0, 0, 255)).max() < 12


def test_a_smaller_picture_is_made_larger():
    square = prepared(encoded(colorful(33, 40)), PrepareOptions(size=64, quality=100))
    assert_same_fields(square, colorful(64, 64))


@pytest.mark.parametrize("side", [60, 130, 300, 700])
def test_a_large_jpeg_that_is_read_in_part_looks_like_one_read_whole(side: int):
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    picture = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    of_jpeg, of_png = (prepared(encoded(picture, f)).astype(int) for f in ("JPEG", "PNG"))
    assert np.abs(of_jpeg - of_png).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_cameras_orientation_is_applied(orientation: int, format: str):
    transforms = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    result = prepare_image(encoded(PICTURE, format, exif=exif), OPTIONS)
    assert isinstance(result, Prepared)
    seen = Image.fromarray(PICTURE)
    if orientation in transforms:
        seen = seen.transpose(transforms[orientation])
    assert (result.width, result.height) == seen.size
    assert_same_fields(decoded(result.jpeg), np.asarray(seen.resize((32, 32))), 14)


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_an_orientation_that_means_nothing_is_passed_over(orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert_same_fields(prepared(encoded(PICTURE, exif=exif)), colorful(32, 32))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_other_formats_are_read_whatever_the_name_says(format: str):
    assert_same_fields(prepared(encoded(PICTURE, format)), colorful(32, 32), 14)


def test_cmyk_becomes_rgb():
    cmyk = Image.fromarray(PICTURE).convert("CMYK")
    assert_same_fields(prepared(encoded(cmyk)), colorful(32, 32), 14)
    assert_same_fields(prepared(encoded(cmyk, "TIFF")), colorful(32, 32), 14)


def test_sixteen_bits_become_eight():
    wide = cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert_same_fields(prepared(wide), colorful(32, 32))
    grey = cv2.imencode(".png", PICTURE[..., 1].astype(np.uint16) * 257)[1].tobytes()
    square = prepared(grey, PrepareOptions(size=32, quality=100, keep_grey=True))
    assert_same_fields(square, colorful(32, 32)[..., [1, 1, 1]])


def test_transparency_is_laid_on_white():
    opaque = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    opaque[:24, :32, 3] = 0
    expected = colorful(32, 32)
    expected[:16, :16] = 255
    for format in ("PNG", "WEBP"):
        assert_same_fields(prepared(encoded(opaque, format)), expected, 14)


def test_a_palette_with_a_transparent_color_is_laid_on_white():
    image = Image.fromarray(PICTURE).quantize(4)
    index = image.getpixel((0, 0))
    expected = colorful(32, 32)
    expected[:16, :16] = 255
    assert_same_fields(prepared(encoded(image, "GIF", transparency=index)), expected, 14)


def test_of_several_pictures_in_a_file_the_first_counts():
    first, second = Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)
    for format in ("GIF", "TIFF", "WEBP", "MPO"):
        data = encoded(first, format, save_all=True, append_images=[second])
        assert_same_fields(prepared(data), colorful(32, 32), 20)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of this size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data)
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


JPEG, PNG, WEBP = encoded(PICTURE), encoded(PICTURE, "PNG"), encoded(PICTURE, "WEBP")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not a picture"),
        (b"<!DOCTYPE html><html>404</html>", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "not a picture"),
        (bytes(5000), "not a picture"),
        (JPEG[:3], "not a picture"),
        (JPEG[: len(JPEG) // 2], "damaged"),
        (JPEG[:-2], "damaged"),
        (JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), "damaged"),
        (PNG[: len(PNG) // 2], "damaged"),
        (PNG[:60] + b"\x00\xff" + PNG[62:], "damaged"),
        (WEBP[: len(WEBP) // 2], "damaged"),
        (encoded(colorful(8, 64)), "too small"),
        (encoded(colorful(31, 64), "PNG"), "too small"),
        (png_header(100_000, 100_000), "too many pixels"),  # Pillow's own limit
        (png_header(11_000, 11_000), "too many pixels"),
        (png_header(64, 64), "damaged"),
        (encoded(np.full((48, 64, 3), 128, np.uint8)), "little colour"),
        (encoded(np.full((48, 64), 128, np.uint8)), "little colour"),
        (encoded(np.full((48, 64, 3), (250, 10, 10), np.uint8)), "little colour"),  # one colour
    ],
)
def test_what_is_wrong_is_told(data: bytes, reason: str):
    assert prepare_image(data, OPTIONS) == Rejected(reason)


def test_a_large_file_is_not_looked_at():
    options = PrepareOptions(max_bytes=len(JPEG) - 1)
    assert prepare_image(JPEG, options) == Rejected("file too large")


def test_many_pixels_are_refused_before_they_are_there():
    options = PrepareOptions(max_pixels=48 * 64 - 1)
    assert prepare_image(JPEG, options) == Rejected("too many pixels")
    assert isinstance(prepare_image(JPEG, PrepareOptions(max_pixels=48 * 64)), Prepared)


def test_a_long_strip_takes_no_more_than_itself():
    strip = np.tile(colorful(32, 40), (1, 500, 1))  # 32 x 20,000: its short side to 2,048 px
    square = prepared(encoded(strip, "PNG"), PrepareOptions(size=2048))
    assert square.shape == (2048, 2048, 3)


@given(data=st.binary(min_size=1, max_size=40), at=st.integers(0, 2000), cut=st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_no_damage_raises(data: bytes, at: int, cut: int):
    for whole in (JPEG, PNG, WEBP, encoded(PICTURE, "GIF"), encoded(PICTURE, "TIFF")):
        bad = whole[:at] + data + whole[at + len(data) : max(cut, at)]
        assert isinstance(prepare_image(bad, OPTIONS), Prepared | Rejected)


@pytest.mark.parametrize(
    ("grey", "is_little"), [(0.85, False), (0.89, False), (0.92, True), (1.0, True)]
)
def test_mostly_grey_pictures_have_little_color(grey: float, is_little: bool):
    picture = np.full((100, 100, 3), 90, np.uint8)
    rows = round(100 * (1 - grey))
    picture[:rows] = (220, 30, 40)
    # By the pixels alone: the second criterion is switched off.
    assert has_little_color(picture, PrepareOptions(min_color_std=0)) is is_little


def test_a_pixel_is_grey_by_both_differences():
    def little(bgr: tuple[int, int, int]) -> bool:
        picture = np.full((10, 10, 3), bgr, np.uint8)
        return has_little_color(picture, PrepareOptions(min_color_std=0))

    assert little((100, 100, 129)) and not little((100, 100, 130))  # red against both
    assert little((129, 129, 100)) and not little((130, 100, 100))  # blue against red
    assert not little((100, 130, 100))  # green against red


def test_one_tint_has_little_color():
    picture = np.full((20, 20, 3), (40, 60, 200), np.uint8)
    assert has_little_color(picture, PrepareOptions())
    picture[:10] = (200, 60, 40)
    assert not has_little_color(picture, PrepareOptions())


def test_grey_pictures_can_be_kept():
    options = PrepareOptions(size=32, keep_grey=True)
    grey = encoded(np.full((48, 64), 128, np.uint8))
    assert np.abs(prepared(grey, options).astype(int) - 128).max() <= 2
