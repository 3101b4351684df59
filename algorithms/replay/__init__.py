"""Experience replay that stores each frame once."""

from algorithms.replay.codec import FrameCodec
from algorithms.replay.fragment import Fragment, RecordFlag
from algorithms.replay.frame_replay import Batch, FrameReplay

__all__ = ["Batch", "Fragment", "FrameCodec", "FrameReplay", "RecordFlag"]
