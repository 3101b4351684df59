"""Text and small charts as pictures: the panels that stand beside a game's frame.

All colours are RGB; all pictures uint8 (H, W, 3). Shapes are drawn four times too large and
reduced, which smooths their edges; text is drawn at its size, where the font's hints hold.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

BACKGROUND: Color = (16, 18, 27)
TRACK: Color = (30, 33, 46)
MUTED: Color = (132, 139, 163)
TEXT: Color = (226, 229, 240)
COOL: Color = (86, 98, 146)
ACCENT: Color = (255, 176, 59)
GAIN: Color = (74, 222, 128)
LOSS: Color = (248, 81, 73)

_SCALE = 4


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, at `size` pixels."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def draw_text(
    image_hwc: np.ndarray,
    text: str,
    xy: tuple[int, int],
    *,
    size: int = 14,
    color: Color = TEXT,
    bold: bool = False,
    anchor: str = "la",
) -> np.ndarray:
    """A copy of a picture with a line of text on it.

    Args:
        image_hwc: uint8 (H, W, 3).
        text: what to write; what reaches outside is cut off.
        xy: the anchor's column and row, in pixels.
        size: of the font, in pixels.
        color: RGB.
        bold: a heavier cut.
        anchor: Pillow's two letters for the point of the text at `xy`: l, m or r, then a
            (ascender), m or s (baseline).
    """
    picture = Image.fromarray(image_hwc)
    ImageDraw.Draw(picture).text(xy, text, color, font(size, bold), anchor)
    return np.array(picture)


def draw_label(
    image_hwc: np.ndarray, text: str, xy: tuple[int, int], *, color: Color = TEXT, size: int = 17
) -> np.ndarray:
    """A copy of a picture with a word on a dark ground, moved inside where it would be cut off.

    Args:
        image_hwc: uint8 (H, W, 3).
        text: one line.
        xy: column of its middle and row that it stands above, in pixels; below, where there is no
            room.
        color: of the word.
        size: of the font, in pixels.
    """
    face, pad = font(size, True), size // 3
    width, height = int(face.getlength(text)) + 2 * pad, size + 2 * pad
    left = max(min(xy[0] - width // 2, image_hwc.shape[1] - width - pad), pad)
    top = max(min(xy[1] - height - pad, image_hwc.shape[0] - height - pad), pad)
    picture = Image.fromarray(image_hwc)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle([left, top, left + width, top + height], pad, BACKGROUND)
    draw.text((left + pad, top + height // 2), text, color, face, "lm")
    return np.array(picture)


def draw_mask(
    image_hwc: np.ndarray,
    mask_hw: np.ndarray,
    color: Color,
    *,
    opacity: float = 0.35,
    outline: int = 3,
) -> np.ndarray:
    """A copy of a picture with an area tinted and outlined.

    Args:
        image_hwc: uint8 (H, W, 3).
        mask_hw: (H, W), not 0 in the area.
        color: RGB.
        opacity: of the tint, 0 to 1.
        outline: width of the line around it, inside the area, in pixels.
    """
    area = np.asarray(mask_hw) != 0
    kernel = np.ones((2 * outline + 1,) * 2, np.uint8)
    inside = cv2.erode(area.astype(np.uint8), kernel, borderValue=0) != 0
    picture = _tinted(image_hwc, area, color, opacity)
    picture[area & ~inside] = color
    return picture


def draw_border(image_hwc: np.ndarray, width: int, color: Color, opacity: float) -> np.ndarray:
    """A copy of a picture, uint8 (H, W, 3), with a frame of a width inside its edge, in pixels."""
    edge = np.ones(image_hwc.shape[:2], bool)
    edge[width:-width, width:-width] = False
    return _tinted(image_hwc, edge, color, opacity)


def _tinted(image_hwc: np.ndarray, area: np.ndarray, color: Color, opacity: float) -> np.ndarray:
    picture = image_hwc.copy()
    mixed = picture[area] * (1 - opacity) + np.array(color) * opacity
    picture[area] = np.rint(mixed).astype(np.uint8)
    return picture


def bar_panel(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    chosen: int | None,
    width: int,
    height: int,
    *,
    lo: float | None = None,
    hi: float | None = None,
    title: str = "",
) -> np.ndarray:
    """One labelled bar for each name, such as the action values of a state.

    Bars start at zero where the scale holds it, else at its low end.

    Args:
        names: (N,), N at least 1; shortened where they do not fit.
        values: (N,).
        chosen: the index to highlight, or None.
        width: of the panel, in pixels; legible from 160 or so.
        height: likewise; 12 pixels a bar are enough.
        lo: the low end of the scale, the same for all frames of a video if bars are to be
            compared; by default the lowest value, or 0.
        hi: the high end; by default the highest value, or 0.
        title: above the bars.

    Returns:
        uint8 (height, width, 3).
    """
    values = np.asarray(values, np.float64)
    if len(names) != len(values) or not len(names):
        raise ValueError(f"want a value for each name, got {len(names)} and {len(values)}")
    lo, hi = _scale(values, lo, hi, with_zero=True)
    margin, size, top = _frame(width, height, title)
    row = (height - margin - top) / len(names)
    size = max(min(size, int(row * 0.62)), 7)
    digits = _digits(hi - lo)
    numbers = [_number(value, digits) for value in values]
    ends = _number(lo, digits), _number(hi, digits)
    label_width = min(max(font(size, True).getlength(n) for n in names) + 1, width * 0.42)
    number_width = max(font(size, True).getlength(number) for number in [*numbers, *ends, "-00.00"])
    left = margin + label_width + size * 0.6
    right = max(width - margin - number_width - size * 0.6, left + 1)

    def column(value: float) -> float:
        return left + (np.clip(value, lo, hi) - lo) / (hi - lo) * (right - left)

    canvas = _Canvas(width, height)
    thickness = min(row * 0.56, 18)
    zero = column(0.0)
    for index, value in enumerate(values):
        middle = top + row * (index + 0.5)
        upper, lower = middle - thickness / 2, middle + thickness / 2
        canvas.bar(left, upper, right, lower, TRACK)
        if np.isfinite(value):
            color = ACCENT if index == chosen else COOL
            start, end = sorted((zero, column(value)))
            canvas.bar(start, upper, max(end, start + 1), lower, color)
    if lo < 0 < hi:
        canvas.line([(zero, top), (zero, height - margin)], 1, MUTED)
    picture = canvas.reduced()
    draw = ImageDraw.Draw(picture)
    _title(draw, title, margin, size)
    for index, name in enumerate(names):
        middle = top + row * (index + 0.5)
        picked = index == chosen
        color = ACCENT if picked else MUTED
        face = font(size, picked)
        draw.text((margin, middle), _shortened(name, face, label_width), color, face, "lm")
        color = TEXT if picked else MUTED
        draw.text((width - margin, middle), numbers[index], color, face, "rm")
    return np.array(picture)


def line_panel(
    values: Sequence[float] | np.ndarray,
    width: int,
    height: int,
    *,
    lo: float | None = None,
    hi: float | None = None,
    cursor: int | None = None,
    title: str = "",
) -> np.ndarray:
    """A curve over the indices of `values`, bright up to the cursor and dim after it.

    Args:
        values: (N,); gaps where not finite.
        width: of the panel, in pixels.
        height: likewise.
        lo: the low end of the scale; by default the lowest value.
        hi: the high end; by default the highest value.
        cursor: the index that "now" is at, whose value is written out; by default the last.
        title: above the curve.

    Returns:
        uint8 (height, width, 3).
    """
    values = np.asarray(values, np.float64)
    lo, hi = _scale(values, lo, hi, with_zero=False)
    margin, size, top = _frame(width, height, title)
    digits = _digits(hi - lo)
    ends = _number(hi, digits), _number(lo, digits)
    left = margin + max(font(size).getlength(end) for end in ends) + size * 0.6
    right, bottom = max(width - margin - 4, left + 1), height - margin
    canvas = _Canvas(width, height)
    for at in np.linspace(top, bottom, 3):
        canvas.line([(left, at), (right, at)], 1, TRACK)
    xs = left + np.arange(len(values)) / max(len(values) - 1, 1) * (right - left)
    values = np.where(np.isfinite(values), values, np.nan)
    ys = bottom - (np.clip(values, lo, hi) - lo) / (hi - lo) * (bottom - top)
    cursor = len(values) - 1 if cursor is None else min(max(cursor, 0), len(values) - 1)
    points = list(zip(xs.tolist(), ys.tolist(), strict=True))
    canvas.curve(points[max(cursor, 0) :], 1.5, COOL)
    canvas.curve(points[: cursor + 1], 2, ACCENT)
    now = ""
    if points and np.isfinite(values[cursor]):
        x, y = points[cursor]
        canvas.line([(x, top), (x, bottom)], 1, MUTED)
        canvas.dot(x, y, 3.5, ACCENT)
        now = _number(values[cursor], digits)
    picture = canvas.reduced()
    draw = ImageDraw.Draw(picture)
    _title(draw, title, margin, size)
    if title:
        draw.text((width - margin, margin), now, ACCENT, font(size + 1, True), "ra")
    for end, at in zip(ends, (top, bottom), strict=True):
        draw.text((left - size * 0.6, at), end, MUTED, font(size), "rm")
    return np.array(picture)


class _Canvas:
    """A dark picture to draw smooth shapes on; coordinates are those of the final size."""

    def __init__(self, width: int, height: int):
        self._picture = Image.new("RGB", (width * _SCALE, height * _SCALE), BACKGROUND)
        self._draw = ImageDraw.Draw(self._picture)

    def bar(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        box = [left * _SCALE, top * _SCALE, right * _SCALE, bottom * _SCALE]
        radius = min(bottom - top, right - left, 8) * _SCALE / 2
        self._draw.rounded_rectangle(box, radius, color)

    def line(self, points: list[tuple[float, float]], width: float, color: Color) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, color, round(width * _SCALE), joint="curve")

    def curve(self, points: list[tuple[float, float]], width: float, color: Color) -> None:
        """Lines between neighbours, with gaps at points that are not finite."""
        piece: list[tuple[float, float]] = []
        for point in [*points, (np.nan, np.nan)]:
            if np.isfinite(point).all():
                piece.append(point)
                continue
            if len(piece) > 1:
                self.line(piece, width, color)
            piece = []

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        self._draw.circle((x * _SCALE, y * _SCALE), radius * _SCALE, color)

    def reduced(self) -> Image.Image:
        return self._picture.reduce(_SCALE)


def _scale(
    values: np.ndarray, lo: float | None, hi: float | None, *, with_zero: bool
) -> tuple[float, float]:
    """The ends of the scale: as given, or the finite values', never the same number."""
    finite = values[np.isfinite(values)]
    if with_zero or not len(finite):
        finite = np.append(finite, 0.0)
    lo = float(finite.min()) if lo is None else lo
    hi = float(finite.max()) if hi is None else hi
    return (lo, hi) if hi > lo else (lo, lo + max(abs(lo), 1.0))


def _frame(width: int, height: int, title: str) -> tuple[int, int, float]:
    """The margin, the font's size and the row where the drawing starts, in pixels."""
    size = max(min(width // 18, height // 8, 18), 9)
    margin = max(size * 3 // 4, 4)
    return margin, size, margin + (size * 2.0 if title else size * 0.5)


def _title(draw: ImageDraw.ImageDraw, title: str, margin: int, size: int) -> None:
    draw.text((margin, margin), title, TEXT, font(size + 1, True), "la")


def _shortened(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _digits(span: float) -> int:
    """Digits behind the point, 2 to 4, that tell values apart on a scale of a length."""
    return int(np.clip(np.ceil(1.5 - np.log10(span)), 2, 4))


def _number(value: float, digits: int = 2) -> str:
    if not np.isfinite(value):
        return "n/a"
    size = abs(value)
    return f"{value:.{digits}f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:.3g}"
