"""Encoding of single frames, as they travel and as they are stored."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from lz4 import block
from numpy.typing import DTypeLike

Compression = Literal["lz4", "none"]
Buffer = bytes | memoryview

# A tenth to a fifth fewer bytes than LZ4's fast mode, for some 13 us more a frame of 84x84, where
# a step of the emulator takes 400; higher levels cost far more than they save. Frames are decoded
# several times for each time they are encoded, at the same speed for any level.
_LZ4_LEVEL = 3


class FrameCodec:
    """Turns frames of one shape and dtype into bytes and back, without loss.

    Args:
        shape: Shape of a frame, such as `(84, 84)`.
        dtype: Numeric dtype of a frame.
        compression: `"lz4"` (a bare LZ4 block, the size is known from the shape) or `"none"`.

    Raises:
        ValueError: If the shape is empty, the dtype has no fixed numeric layout, or the
            compression is unknown.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DTypeLike = np.uint8,
        compression: Compression = "lz4",
    ) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)
        if any(size < 1 for size in self.shape):
            raise ValueError(f"frame shape {self.shape}: every axis must be at least 1 long")
        if self.dtype.kind not in "biufc":
            raise ValueError(f"frame dtype {self.dtype}: must be numeric")
        if compression not in ("lz4", "none"):
            raise ValueError(f'compression "{compression}": must be "lz4" or "none"')
        self.compression: Compression = compression
        self.frame_nbytes = math.prod(self.shape) * self.dtype.itemsize
        """Bytes of a decoded frame."""
        self.max_encoded_nbytes = self.frame_nbytes
        """Bytes that an encoded frame never exceeds."""
        if compression == "lz4":
            # LZ4_COMPRESSBOUND of lz4.h: what noise, which LZ4 can only lengthen, may take.
            self.max_encoded_nbytes += self.frame_nbytes // 255 + 16

    def encode(self, frame: np.ndarray) -> bytes:
        """Encodes one frame.

        Args:
            frame: `shape`, of the codec's dtype.

        Returns:
            At most `max_encoded_nbytes` bytes.

        Raises:
            ValueError: If the frame has another shape or dtype.
        """
        if frame.shape != self.shape or frame.dtype != self.dtype:
            raise ValueError(
                f"frame is {frame.dtype} {frame.shape}, the codec's {self.dtype} {self.shape}"
            )
        if self.compression == "none":
            return frame.tobytes()
        return block.compress(
            frame.tobytes(), mode="high_compression", compression=_LZ4_LEVEL, store_size=False
        )

    def encode_many(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encodes frames one by one, each decodable on its own.

        Args:
            frames: `(K, *shape)`, of the codec's dtype.

        Returns:
            `(sum(sizes),)` uint8, the encoded frames back to back, read-only; and `sizes`,
            `(K,)` int32.

        Raises:
            ValueError: If the frames have another shape or dtype.
        """
        encoded = [self.encode(frame) for frame in frames]
        sizes = np.fromiter(map(len, encoded), dtype=np.int32, count=len(encoded))
        return np.frombuffer(b"".join(encoded), dtype=np.uint8), sizes

    def decode_into(self, buffer: Buffer | np.ndarray, out: np.ndarray) -> None:
        """Decodes one frame into an array.

        Args:
            buffer: What `encode` returned.
            out: `shape`, of the codec's dtype, C-contiguous; overwritten.

        Raises:
            ValueError: If `out` does not fit or `buffer` is not such a frame.
        """
        encoded = buffer.data if isinstance(buffer, np.ndarray) else buffer
        self.decode_many([encoded], out[np.newaxis])

    def decode_many(self, buffers: Sequence[Buffer], out: np.ndarray) -> None:
        """Decodes frames into the rows of an array.

        Args:
            buffers: U encoded frames.
            out: `(U, *shape)`, of the codec's dtype, C-contiguous; overwritten.

        Raises:
            ValueError: If `out` does not fit or a buffer is not such a frame.
        """
        if out.shape != (len(buffers), *self.shape) or out.dtype != self.dtype:
            raise ValueError(
                f"out is {out.dtype} {out.shape}, "
                f"the frames {self.dtype} {(len(buffers), *self.shape)}"
            )
        if not out.flags.c_contiguous:
            raise ValueError("out must be C-contiguous")
        # Slices of a memoryview are written without an array object per frame.
        target = out.reshape(-1).view(np.uint8).data
        size, start = self.frame_nbytes, 0
        try:
            if self.compression == "none":
                for buffer in buffers:
                    target[start : start + size] = buffer
                    start += size
            else:
                decompress = block.decompress
                for buffer in buffers:
                    target[start : start + size] = decompress(buffer, uncompressed_size=size)
                    start += size
        except (ValueError, block.LZ4BlockError) as error:
            raise ValueError(
                f"frame {start // size} is not a {self.dtype} frame of shape {self.shape} "
                f'with compression "{self.compression}"'
            ) from error
