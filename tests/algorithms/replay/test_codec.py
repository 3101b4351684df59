"""Frames come back as they went in, and nothing else passes for one."""

import numpy as np
import pytest

from algorithms.replay import FrameCodec


@pytest.mark.parametrize("compression", ["lz4", "none"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((84, 84), np.uint8), ((3,), np.float32), ((2, 5, 1), np.int64)]
)
def test_frames_come_back_exactly(shape, dtype, compression):
    codec = FrameCodec(shape, dtype, compression)
    rng = np.random.default_rng(0)
    frames = (rng.random((5, *shape)) * 255).astype(dtype)
    frames[1:3] = 0
    encoded, sizes = codec.encode_many(frames)
    assert encoded.dtype == np.uint8 and sizes.dtype == np.int32
    assert sizes.sum() == len(encoded) and sizes.max() <= codec.max_encoded_nbytes
    parts = np.split(encoded, np.cumsum(sizes)[:-1])
    out = np.empty_like(frames)
    for row, part in enumerate(parts):
        codec.decode_into(part, out[row])
    np.testing.assert_array_equal(out, frames)
    out[:] = 7
    codec.decode_many([part.tobytes() for part in parts], out)
    np.testing.assert_array_equal(out, frames)
    assert codec.encode(frames[3]) == parts[3].tobytes()


def test_noise_stays_within_the_bound():
    codec = FrameCodec((84, 84))
    noise = np.random.default_rng(0).integers(0, 256, (84, 84), dtype=np.uint8)
    assert codec.frame_nbytes < len(codec.encode(noise)) <= codec.max_encoded_nbytes


def test_no_frames_are_no_bytes():
    codec = FrameCodec((2,))
    encoded, sizes = codec.encode_many(np.empty((0, 2), np.uint8))
    assert encoded.shape == (0,) and sizes.shape == (0,)
    codec.decode_many([], np.empty((0, 2), np.uint8))


def test_frame_of_another_shape_or_dtype_is_refused():
    codec = FrameCodec((2,))
    with pytest.raises(ValueError, match=r"frame is uint8 \(3,\), the codec's uint8 \(2,\)"):
        codec.encode(np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="frame is float64"):
        codec.encode(np.zeros(2))


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_bytes_of_something_else_are_refused(compression):
    codec = FrameCodec((100,), np.uint8, compression)
    shorter = FrameCodec((99,), np.uint8, compression).encode(np.zeros(99, np.uint8))
    for wrong in (shorter, b"\xff" * 9):
        with pytest.raises(ValueError, match=r"is not a uint8 frame of shape \(100,\)"):
            codec.decode_into(wrong, np.empty(100, np.uint8))


def test_target_that_does_not_fit_is_refused():
    codec = FrameCodec((2, 2))
    encoded = codec.encode(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="out is float32"):
        codec.decode_into(encoded, np.empty((2, 2), np.float32))
    with pytest.raises(ValueError, match="C-contiguous"):
        codec.decode_into(encoded, np.empty((2, 4), np.uint8)[:, ::2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 2),), "every axis"),
        (((2,), np.object_), "must be numeric"),
        (((2,), np.uint8, "zip"), 'compression "zip"'),
    ],
)
def test_impossible_codecs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FrameCodec(*arguments)
