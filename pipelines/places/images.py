"""One picture: from a file's bytes to the JPEG of a square, or the reason why not.

Plain 8-bit JPEG files, nearly all there are, go through OpenCV; the rest through Pillow, which
knows more kinds. Damage that a JPEG decoder patches over by itself is not found.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from arcadia.media.images import FORMATS, to_rgb
from pipelines.places.config import PrepareOptions

EMPTY = "empty file"
NO_PICTURE = "not a picture"
DAMAGED = "damaged"
TOO_MANY_PIXELS = "too many pixels"
TOO_SMALL = "too small"
TOO_LARGE = "file too large"
LITTLE_COLOR = "little colour"

_REDUCED = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_SAMPLED_SIDE = (
    32  # colour is judged on a grid of at least so many pixels a side, which says enough
)


class Prepared(NamedTuple):
    """A picture that is kept."""

    jpeg: bytes
    """Of size x size pixels."""
    width: int
    """Of the source as it is meant to be seen, in pixels."""
    height: int


class Rejected(NamedTuple):
    """A picture that is left out."""

    reason: str
    """One of this module's."""


def prepare_image(data: bytes, options: PrepareOptions) -> Prepared | Rejected:
    """A file's bytes as the JPEG of a square.

    Its kind is told by its content, whatever its name. A camera's orientation mark is applied,
    transparency is laid on white, CMYK and grey become RGB, 16 bits become 8; of several pictures
    in a file the first counts. Colour profiles are not applied.

    Returns:
        `Rejected` for whatever is wrong with the file; it raises for nothing that can be in one.
    """
    if not data:
        return Rejected(EMPTY)
    if len(data) > options.max_bytes:
        return Rejected(TOO_LARGE)
    try:
        if (size := jpeg_size(data)) is not None:
            return _of_jpeg(data, *size, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, of odd marks
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _of_pillow(data, image, options)
    except UnidentifiedImageError:
        return Rejected(NO_PICTURE)
    except (Image.DecompressionBombError, MemoryError):
        return Rejected(TOO_MANY_PIXELS)
    except Exception:  # decoders raise all kinds of errors for damaged files
        return Rejected(DAMAGED)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, as they are stored, of a grey or three-channel JPEG file of 8 bits, from
    its header; None for everything else."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # filling
            at += 1
        elif kind in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return (width, height) if bits == 8 and channels in (1, 3) else None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _of_jpeg(data: bytes, width: int, height: int, options: PrepareOptions) -> Prepared | Rejected:
    if (reason := _wrong_size(width, height, options)) is not None:
        return Rejected(reason)
    # A half, a quarter or an eighth is read faster; it is never less than twice what it will be.
    side = min(width, height)
    enough = (flag for scale, flag in _REDUCED if side >= 2 * scale * options.size)
    # OpenCV applies the orientation.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), next(enough, cv2.IMREAD_COLOR))
    if picture is None:
        return Rejected(DAMAGED)
    if (picture.shape[0] > picture.shape[1]) != (height > width):
        width, height = height, width
    return _of_picture(picture, width, height, options)


def _of_pillow(data: bytes, image: Image.Image, options: PrepareOptions) -> Prepared | Rejected:
    if (reason := _wrong_size(*image.size, options)) is not None:
        return Rejected(reason)
    if image.format == "PNG":  # reading it looks at no checksum
        with Image.open(io.BytesIO(data), formats=FORMATS) as again:
            again.verify()
    picture = to_rgb(ImageOps.exif_transpose(image))
    height, width = picture.shape[:2]
    return _of_picture(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), width, height, options)


def _wrong_size(width: int, height: int, options: PrepareOptions) -> str | None:
    if width * height > options.max_pixels:
        return TOO_MANY_PIXELS
    return TOO_SMALL if min(width, height) < options.min_side else None


def _of_picture(
    picture_bgr: np.ndarray, width: int, height: int, options: PrepareOptions
) -> Prepared | Rejected:
    square = _square(picture_bgr, options.size)
    if not options.keep_grey and has_little_color(square, options):
        return Rejected(LITTLE_COLOR)
    jpeg = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, options.quality])[1]
    return Prepared(jpeg.tobytes(), width, height)


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """The middle, resized. Cut first: of a long strip the rest would be large."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(middle)
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(middle, (size, size), interpolation=how)


def has_little_color(picture_bgr: np.ndarray, options: PrepareOptions) -> bool:
    """Whether a picture, uint8 (H, W, 3) BGR, is grey or nearly so.

    It is when more than `grey_fraction` of its pixels have |R-G| and |R-B| below
    `grey_difference`, or std(a) + std(b) is below `min_color_std`. The paper drops such pictures
    without saying how it finds them.
    """
    height, width = picture_bgr.shape[:2]
    step = max(min(height, width) // _SAMPLED_SIDE, 1)
    grid = (width // step, height // step)
    sample = cv2.resize(picture_bgr, grid, interpolation=cv2.INTER_NEAREST)
    blue, green, red = cv2.split(sample)
    spread = cv2.max(cv2.absdiff(red, green), cv2.absdiff(red, blue))
    _, is_colored = cv2.threshold(spread, options.grey_difference - 1, 255, cv2.THRESH_BINARY)
    num_colored = cv2.countNonZero(is_colored)
    if spread.size - num_colored > options.grey_fraction * spread.size:
        return True
    # OpenCV's a and b of 8 bits are the usual ones plus 128.
    _, deviation = cv2.meanStdDev(cv2.cvtColor(sample, cv2.COLOR_BGR2LAB))
    return float(deviation[1, 0] + deviation[2, 0]) < options.min_color_std
