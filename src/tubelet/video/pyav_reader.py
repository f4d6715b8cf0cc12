"""Exact frames by number: seeking to key frames and stepping through one video stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain

import av
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from tubelet.video.frame_index import FrameIndex
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.pyav_stream import FramesDisagreeError, PacketDecoder

SEEK_GAIN = 8
"""Seek only where at least so many frames need not be decoded then: a seek empties the decoder's pipeline."""

TRUSTED_KEYS = 3
"""After so many packets that were marked as key frames and are none, decoding starts from the beginning only."""


class FrameReader(PacketDecoder):
    """Frames of a stream by number; see `PacketDecoder` for the arguments."""

    _sought: int | None

    def __init__(self, path: str, threads: int, limits: Limits = LIMITS) -> None:
        self._false_keys: set[int] = set()
        super().__init__(path, threads, limits)

    @property
    def _can_seek(self) -> bool:
        """A palette comes with the first packet alone, and is lost when the decoder is emptied."""
        return self.stream.codec_context.pix_fmt != "pal8"

    def lose_position(self) -> None:
        """After an error: let the next request start from a key frame or from the beginning."""
        self._start(iter(()), sys.maxsize)

    def find(self, index: FrameIndex, wanted: list[int]) -> Iterator[VideoFrame]:
        """Frames with these ascending numbers, each recognised by its timestamp.

        Raises:
            FramesDisagreeError: a frame does not come out where the index promises it, another one does, or the decoder
                marks one as restored only in part: how it restores depends on all that it decoded before.
            VideoError: the decoder refuses a packet.
        """
        if self._skips_unused:
            self._set_useful({index.pts[number] for number in wanted})
        for number in wanted:
            self.time_limit.restart()
            key = index.keys[self._usable_key(index, number)]
            reachable = self.position <= number and index.pts[number] not in self._left_out
            if not reachable or key.position - self.position >= SEEK_GAIN:
                self.seek(index, number)
            frame = self._step_to(index, number)
            while frame is None:
                self.seek(index, number)
                frame = self._step_to(index, number)
            yield frame

    def _step_to(self, index: FrameIndex, wanted: int) -> VideoFrame | None:
        """The frame with this number, or None if the key frame that was sought turns out not to be one."""
        while (frame := self.next()) is not None:
            if self._sought is not None:
                if frame.pts is not None and frame.pts < self._sought:
                    continue
                if frame.pts != self._sought or not _stands_alone(frame):
                    self._false_keys.add(self._sought)
                    return None
                self._sought = None
            number = index.find(frame.pts)
            if number is None or number > wanted or frame.is_corrupt:
                raise FramesDisagreeError
            self._left_out.discard(index.pts[number])
            self.position = max(self.position, number + 1)
            if number == wanted:
                return frame
        raise FramesDisagreeError

    def count_to(self, wanted: list[int]) -> Iterator[VideoFrame]:
        """Frames with these ascending numbers, by counting those that come out from the beginning.

        Raises:
            FramesDisagreeError: fewer frames come out.
            VideoError: the decoder refuses a packet.
        """
        for number in wanted:
            self.time_limit.restart()
            if number < self.position:
                self.rewind()
            yield self._count_to(number)

    def _count_to(self, wanted: int) -> VideoFrame:
        while (frame := self.next()) is not None:
            self.position += 1
            if self.position > wanted:
                return frame
        raise FramesDisagreeError

    def seek(self, index: FrameIndex, wanted: int) -> None:
        """Read on from a key frame at or before this frame: the last one that the container does lead to."""
        for number in range(self._usable_key(index, wanted), -1, -1) if self._can_seek else ():
            key = index.keys[number]
            times = dict.fromkeys(time for time in (key.pts, key.dts) if time is not None)
            if any(self._seek_to(time, index, wanted) for time in times):
                return
        useful = self._useful
        self.rewind()
        self._set_useful(useful)

    def _usable_key(self, index: FrameIndex, wanted: int) -> int:
        """The number of the last key frame from which this frame can be decoded."""
        if len(self._false_keys) >= TRUSTED_KEYS or not self._can_seek:
            return 0
        number = index.key_before(wanted)
        while number > 0 and index.keys[number].pts in self._false_keys:
            number -= 1
        return number

    def _seek_to(self, time: int, index: FrameIndex, wanted: int) -> bool:
        """Whether seeking to this time leads to a key frame of the index from which the frame can be decoded."""
        self._start(iter(()), sys.maxsize)  # the reading before is over, and its time limit with it
        try:
            self.container.seek(time, stream=self.stream)
        except av.FFmpegError:
            return False
        packets = self.packets()
        for packet in packets:
            if not packet.size:
                return False
            position = index.key_position(packet.pts, packet.dts)
            if position is None and not packet.is_keyframe:
                continue
            if position is None or position > wanted or packet.pts in self._false_keys:
                return False
            self._start(chain([packet], packets), position)
            first = index.keys[0]
            is_first = packet.dts == first.dts and first.pts in (None, packet.pts)
            self._sought = None if is_first else packet.pts
            return True
        return False

    def _start(self, packets: Iterator[Packet[VideoStream]], position: int) -> None:
        super()._start(packets, position)
        self._sought = None


def _stands_alone(frame: VideoFrame) -> bool:
    """Whether the decoder says that the frame refers to no other; intra-only codecs may give no picture type."""
    return frame.key_frame and frame.pict_type in (PictureType.I, PictureType.NONE)
