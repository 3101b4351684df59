"""Reading and writing pictures and video, and drawing on frames."""

from arcadia.media.draw import (
    bar_panel,
    draw_border,
    draw_label,
    draw_mask,
    draw_text,
    line_panel,
)
from arcadia.media.frames import Frame, Sink, Source, VideoInfo
from arcadia.media.images import png_bytes, read_image, write_image
from arcadia.media.opening import check_sink, is_pictures, open_sink, open_source
from arcadia.media.sequences import PictureSource, PictureWriter
from arcadia.media.video import VideoSource, probe, read_video
from arcadia.media.writer import Preset, VideoWriter

__all__ = [
    "Frame",
    "PictureSource",
    "PictureWriter",
    "Preset",
    "Sink",
    "Source",
    "VideoInfo",
    "VideoSource",
    "VideoWriter",
    "bar_panel",
    "check_sink",
    "draw_border",
    "draw_label",
    "draw_mask",
    "draw_text",
    "is_pictures",
    "line_panel",
    "open_sink",
    "open_source",
    "png_bytes",
    "probe",
    "read_image",
    "read_video",
    "write_image",
]
