"""Experience replay that stores each frame once."""

from algorithms.replay.batch import Batch
from algorithms.replay.codec import FrameCodec
from algorithms.replay.fragment import Fragment, RecordFlag
from algorithms.replay.frame_replay import FrameReplay
from algorithms.replay.prioritized import PrioritizedReplay

__all__ = ["Batch", "Fragment", "FrameCodec", "FrameReplay", "PrioritizedReplay", "RecordFlag"]
