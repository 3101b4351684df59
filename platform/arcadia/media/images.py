"""Pictures as uint8 RGB arrays of shape (H, W, 3)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from arcadia.atomic import beside
from arcadia.errors import UserError, did_you_mean

_QUALITY = {".jpg": {"quality": 95, "subsampling": 0}, ".jpeg": {"quality": 95, "subsampling": 0}}


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture file as it is meant to be seen.

    A camera's orientation mark is applied, transparency is laid on white, 16 bits become 8.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        UserError: no such file, or not a picture that can be read to its end.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: is not a picture that can be read; give a PNG or JPEG") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file{_sibling(path)}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise UserError(f"{path}: cannot read the picture: {reason}; give another") from error


def write_image(path: str | os.PathLike[str], image_hwc: np.ndarray) -> None:
    """Writes a picture in the format of the path's suffix, beside and renamed.

    Args:
        path: `.png`, `.jpg` (quality 95, full colour resolution), or another that Pillow writes.
        image_hwc: uint8 (H, W, 3) RGB, or (H, W) grey.

    Raises:
        UserError: unknown suffix, or the place cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    format = Image.registered_extensions().get(suffix)
    if format is None or format not in Image.SAVE:
        raise UserError(f'{path}: no picture format is called "{suffix}"; use .png or .jpg')
    with beside(path) as temporary:
        _picture(image_hwc).save(temporary, format, **_QUALITY.get(suffix, {}))


def png_bytes(image_hwc: np.ndarray) -> bytes:
    """A uint8 picture, (H, W, 3) RGB or (H, W) grey, as a PNG file."""
    data = io.BytesIO()
    _picture(image_hwc).save(data, "PNG", optimize=True)
    return data.getvalue()


def _picture(image_hwc: np.ndarray) -> Image.Image:
    is_picture = image_hwc.ndim == 2 or (image_hwc.ndim == 3 and image_hwc.shape[2] == 3)
    if image_hwc.dtype != np.uint8 or not is_picture:
        raise ValueError(f"want uint8 (H, W, 3) or (H, W), got {image_hwc.dtype} {image_hwc.shape}")
    return Image.fromarray(image_hwc)


def _sibling(path: Path) -> str:
    names = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)
