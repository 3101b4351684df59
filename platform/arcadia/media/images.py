"""Pictures as uint8 RGB arrays of shape (H, W, 3)."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from arcadia.atomic import beside, refuse_special
from arcadia.errors import UserError, did_you_mean

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""What pictures may be, as Pillow calls it. For PostScript, a program, it starts Ghostscript."""
# Pillow warns of large ones, and refuses those that are twice as large.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_QUALITY = {".jpg": {"quality": 95, "subsampling": 0}, ".jpeg": {"quality": 95, "subsampling": 0}}


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture file as it is meant to be seen.

    A camera's orientation mark is applied, transparency is laid on white, 16 bits become 8.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: no such file, or not a picture that can be read to its end.
    """
    with _opened(path) as file:
        return to_rgb(ImageOps.exif_transpose(file))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """A picture file in memory, as `read_image` has it; errors call it `name`."""
    with _opened(name, io.BytesIO(data)) as file:
        return to_rgb(ImageOps.exif_transpose(file))


def read_layers(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A picture file in memory as it is meant to be seen, with its transparency apart.

    Args:
        data: the file.
        name: what errors call it.

    Returns:
        uint8 (H, W, 3), RGB; and uint8 (H, W), 0 where nothing is seen, or None where everything
        is.

    Raises:
        UserError: not a picture that can be read to its end.
    """
    with _opened(name, io.BytesIO(data)) as file:
        image = ImageOps.exif_transpose(file)
        if not image.has_transparency_data:
            return to_rgb(image), None
        layers = np.array(image.convert("RGBA"))
        alpha = layers[:, :, 3]
        return np.ascontiguousarray(layers[:, :, :3]), None if alpha.min() == 255 else alpha


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pillow's picture as uint8 (H, W, 3) RGB: transparency laid on white, 8 bits of 16."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a picture file as it is meant to be seen, from its header; as above."""
    with _opened(path) as file:
        is_on_its_side = file.getexif().get(ExifTags.Base.Orientation, 1) > 4
        return file.size if is_on_its_side else (file.height, file.width)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], data: io.BytesIO | None = None) -> Iterator[Image.Image]:
    """A file by its path, or one in memory that errors call so."""
    try:
        if data is None:
            refuse_special(path)
        with Image.open(path if data is None else data, formats=FORMATS) as file:
            yield file
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: is not a picture that can be read; give a PNG or JPEG") from error
    except FileNotFoundError as error:
        raise no_such_file(path) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise UserError(f"{path}: cannot read the picture: {reason}; give another") from error


def no_such_file(path: str | os.PathLike[str]) -> UserError:
    """The error for a file that is not there, with a name beside it that may have been meant."""
    path = Path(path)
    names = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    return UserError(f"{path}: no such file{did_you_mean(path.name, names)}")


def write_image(path: str | os.PathLike[str], image_hwc: np.ndarray) -> None:
    """Writes a picture in the format of the path's suffix, beside and renamed.

    Args:
        path: `.png`, `.jpg` (quality 95, full colour resolution), or another that Pillow writes.
        image_hwc: uint8 (H, W, 3) RGB, or (H, W) grey.

    Raises:
        UserError: unknown suffix, or the place cannot be written.
    """
    path = Path(path)
    picture_format(path)
    with beside(path) as temporary:
        save_image(temporary, image_hwc, path.suffix)


def save_image(path: Path, image_hwc: np.ndarray, suffix: str) -> None:
    """Writes a picture as `write_image` does, in place, in the format of a suffix."""
    suffix = suffix.lower()
    _picture(image_hwc).save(path, picture_format(f"picture{suffix}"), **_QUALITY.get(suffix, {}))


def picture_format(path: str | os.PathLike[str]) -> str:
    """What Pillow calls the format that a path's suffix names. UserError for others."""
    suffix = Path(path).suffix.lower()
    format = Image.registered_extensions().get(suffix)
    if format is None or format not in Image.SAVE:
        raise UserError(f'{path}: no picture format is called "{suffix}"; use .png or .jpg')
    return format


def image_bytes(image_hwc: np.ndarray, suffix: str) -> bytes:
    """A picture as a file in the format of a suffix: as `write_image` does, PNG packed quickly.

    Args:
        image_hwc: uint8 (H, W, 3) RGB, (H, W, 4) with its transparency, which JPEG cannot hold, or
            (H, W) grey.
        suffix: such as ".png".
    """
    data, suffix = io.BytesIO(), suffix.lower()
    format = picture_format(f"picture{suffix}")
    options = {"compress_level": 1} if suffix == ".png" else _QUALITY.get(suffix, {})
    _picture(image_hwc).save(data, format, **options)
    return data.getvalue()


def png_bytes(image_hwc: np.ndarray) -> bytes:
    """A uint8 picture, (H, W, 3) RGB or (H, W) grey, as a PNG file."""
    data = io.BytesIO()
    _picture(image_hwc).save(data, "PNG", optimize=True)
    return data.getvalue()


def _picture(image_hwc: np.ndarray) -> Image.Image:
    is_picture = image_hwc.ndim == 2 or (image_hwc.ndim == 3 and image_hwc.shape[2] in (3, 4))
    if image_hwc.dtype != np.uint8 or not is_picture:
        raise ValueError(
            f"want uint8 (H, W, 3 or 4) or (H, W), got {image_hwc.dtype} {image_hwc.shape}"
        )
    return Image.fromarray(image_hwc)
