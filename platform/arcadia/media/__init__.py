"""Reading and writing pictures and video, and drawing on frames."""

from arcadia.media.draw import (
    bar_panel,
    draw_border,
    draw_label,
    draw_mask,
    draw_text,
    line_panel,
)
from arcadia.media.images import png_bytes, read_image, write_image
from arcadia.media.video import VideoInfo, VideoWriter, probe, read_video

__all__ = [
    "VideoInfo",
    "VideoWriter",
    "bar_panel",
    "draw_border",
    "draw_label",
    "draw_mask",
    "draw_text",
    "line_panel",
    "png_bytes",
    "probe",
    "read_image",
    "read_video",
    "write_image",
]
