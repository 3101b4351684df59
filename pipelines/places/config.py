"""What pictures become, and which are left out."""

from __future__ import annotations

from dataclasses import dataclass

from arcadia.errors import UserError

MAX_PIXELS = 178_956_970
"""Pillow itself refuses pictures of more."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How pictures are prepared. The same options, source and seed give the same shards."""

    size: int = 256
    """Side of the square that each becomes, in pixels: the short side is resized to it by area, the
    middle of the long side is kept."""
    quality: int = 92
    """Of the JPEG files in the shards, 1 to 100; their colour has half the resolution."""
    shard_images: int = 4096
    """Images of the source that a shard is made of; those that are left out are missing in it."""
    row_group_images: int = 64
    """Images of a row group, which is what training reads at once."""
    keep_grey: bool = False
    """Keep pictures of little colour."""
    grey_difference: int = 30
    """A pixel is grey when |R-G| and |R-B| are below this, 0 to 255."""
    grey_fraction: float = 0.9
    """A picture has little colour when more than this fraction of its pixels is grey."""
    min_color_std: float = 6.0
    """It has little colour, too, when the standard deviations of a and b, in L*a*b* units, add up
    to less."""
    min_side: int = 32
    """Pictures with a shorter side are rejected, in pixels; others are made larger if need be."""
    max_pixels: int = 100_000_000
    """Pictures of more are rejected from what their header says."""
    max_bytes: int = 200_000_000
    """Larger files are rejected unread."""
    max_rejected_fraction: float = 0.5
    """End the job when more of the images are rejected, 0 to 1; those of little colour are no
    rejects."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size", 8, 4096),
            ("quality", 1, 100),
            ("shard_images", 1, 1_000_000),
            ("row_group_images", 1, 1_000_000),
            ("grey_difference", 0, 255),
            ("grey_fraction", 0, 1),
            ("min_color_std", 0, 1000),
            ("min_side", 1, 4096),
            ("max_pixels", 1, MAX_PIXELS),
            ("max_bytes", 1, 2**31 - 1),
            ("max_rejected_fraction", 0, 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} {value}: must be from {low:,} to {high:,}")
