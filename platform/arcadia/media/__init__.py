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
from arcadia.media.images import image_bytes, png_bytes, read_image, read_layers, write_image
from arcadia.media.opening import check_sink, is_pictures, open_sink, open_source
from arcadia.media.sequences import PictureSource, PictureWriter
from arcadia.media.sizes import resized, scaled_size, side_by_side
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
    "image_bytes",
    "is_pictures",
    "line_panel",
    "open_sink",
    "open_source",
    "png_bytes",
    "probe",
    "read_image",
    "read_layers",
    "read_video",
    "resized",
    "scaled_size",
    "side_by_side",
    "write_image",
]
