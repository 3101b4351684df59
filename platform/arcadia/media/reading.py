"""The packets and frames of a video file that can be read, and what is missing of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from arcadia.atomic import refuse_special
from arcadia.errors import UserError
from arcadia.media.images import no_such_file

# Lists of other files and addresses, which FFmpeg reads as videos, too, are not among them: what a
# video shows is in its own file.
_FORMATS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpeg", "mpegts", "mpegvideo", "m4v"),
    *("asf", "flv", "ogg", "gif", "mxf", "yuv4mpegpipe", "h264", "hevc"),
)
_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first stream of pictures that is not an album's cover.

    Raises:
        UserError: no such file, not a video, or nothing in it.
    """
    refuse_special(path)
    try:
        # Absolute: what stands before a colon would be taken for a protocol.
        with av.open(os.path.abspath(path), options=_OPTIONS) as container:
            streams = [
                stream
                for stream in container.streams.video
                if not stream.disposition & Disposition.attached_pic
            ]
            if not streams:
                raise UserError(f"{path}: holds no video stream; give another file")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]
    except FileNotFoundError as error:
        raise no_such_file(path) from error
    except EOFError as error:
        raise UserError(f"{path}: holds no video frame; give another file") from error
    except FFmpegError as error:
        raise UserError(f"{path}: cannot be read as video: {error.strerror}") from error


class Reading:
    """One pass over a video, which goes on behind what is damaged and keeps count of it.

    Args:
        container: an open file.
        stream: its pictures.
        packet: the first packet, where the pass does not start at the beginning.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, packet: Packet | None = None
    ):
        self._container = container
        self._stream = stream
        self._before = [] if packet is None else [packet]
        self._base = Fraction(stream.time_base or 1)
        self._num_packets = 0
        self._num_slots = 0
        self._end = 0  # ticks
        self._num_damaged = 0
        self._reason = ""

    def packets(self) -> Iterator[Packet]:
        """The packets that are whole, in the order stored."""
        try:
            for packet in itertools.chain(self._before, self._container.demux(self._stream)):
                # A transport stream counts, and one joined to another counts wrong: its frame is
                # whole all the same.
                if packet.is_corrupt and self._container.format.name != "mpegts":
                    self._damage("its data are incomplete")
                    continue
                if packet.dts is not None:
                    self._num_slots = max(self._num_slots, packet.dts + 1)
                if packet.pts is not None:
                    self._end = max(self._end, packet.pts + (packet.duration or 0))
                # One without a stamp only says that the file is at its end.
                self._num_packets += packet.size > 0 or packet.dts is not None
                if packet.size:
                    yield packet
        except FFmpegError as error:
            self._damage(error.strerror)

    def frames(self) -> Iterator[av.VideoFrame]:
        """The frames that can be decoded, in the order shown."""
        for packet in itertools.chain(self.packets(), [None]):
            try:
                frames = self._stream.decode(packet)
            except FFmpegError as error:
                self._damage(error.strerror)
                continue
            yield from frames

    def problem(self, num_read: int, stop: int | None = None) -> str | None:
        """What is wrong with the file, at its end.

        Args:
            num_read: index after the last frame that was read.
            stop: the index that it should have been, where the pass did not start at the
                beginning.
        """
        if self._before:
            missing = f"ends after {num_read} of {stop} frames" if stop else None
        else:
            missing = self._missing(num_read)
        damaged = None
        if self._num_damaged:
            frames = "frame" if self._num_damaged == 1 else "frames"
            damaged = f"{self._num_damaged} {frames} cannot be decoded: {self._reason}"
        if missing is None and damaged is None:
            return None
        return "; ".join(filter(None, (missing, damaged, "the file is damaged or was cut off")))

    def claimed_frames(self, num_frames: int, fps: Fraction) -> int | None:
        """How many frames the container says there are, once all packets have been read."""
        claim = self._claim()
        if claim is None:
            return None
        if self._missing(num_frames) is None:
            return num_frames
        claimed, _, is_count = claim
        return claimed if is_count else round(claimed * self._base * fps)

    def _missing(self, num_read: int) -> str | None:
        claim = self._claim()
        if claim is None:
            return None
        claimed, read, is_count = claim
        if read >= claimed:
            return None
        if is_count:
            return f"ends after {num_read} of {claimed} frames"
        ends = f"{float(read * self._base):.2f} of {float(claimed * self._base):.2f} s"
        return f"ends after {num_read} frames, at {ends}"

    def _claim(self) -> tuple[int, int, bool] | None:
        """What the container says there is, what of it was read, and whether these are frames.

        Otherwise they are ticks of the stream's time base.
        """
        names = self._container.format.name.split(",")
        if "mp4" in names and self._stream.frames:
            return self._stream.frames, self._num_packets, True
        if "avi" in names and self._stream.frames:  # slots, of which some may be empty
            return self._stream.frames, self._num_slots, self._num_slots == self._num_packets
        if "matroska" in names:
            return self._matroska_claim()
        return None

    def _matroska_claim(self) -> tuple[int, int, bool] | None:
        """Matroska says how long it lasts: rounded, hence only believed where bytes are missing."""
        found = re.fullmatch(r"(\d+):(\d+):([\d.]+)", self._stream.metadata.get("DURATION", ""))
        if found:
            hours, minutes, seconds = found.groups()
            duration = Fraction(seconds) + 60 * (int(minutes) + 60 * int(hours))
        elif self._container.duration:
            duration = Fraction(self._container.duration, av.time_base)
        else:
            return None
        claimed = round(duration / self._base)
        return claimed, self._end if _is_cut_off(self._container.name) else claimed, False

    def _damage(self, reason: str | None) -> None:
        self._num_damaged += 1
        self._reason = self._reason or reason or "its data are invalid"


def _is_cut_off(path: str) -> bool:
    """Whether a Matroska file has fewer bytes than its Segment says."""
    with open(path, "rb") as file:
        start = file.read(4096)
    at = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML, Segment
        if start[at : at + 4] != name or len(start) < at + 12:
            return False
        at += 4
        # The number of leading zero bits is that of the bytes that follow the first.
        length = 9 - start[at].bit_length()
        value = int.from_bytes(start[at : at + length]) & ((1 << 7 * length) - 1)
        at += length
        if name == b"\x1a\x45\xdf\xa3":
            at += value
    is_known = value != (1 << 7 * length) - 1
    return is_known and at + value > os.path.getsize(path)
