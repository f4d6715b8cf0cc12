"""Packets in, decoded frames out: seeking and stepping through one video stream with PyAV."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from itertools import chain, compress

import av
from av.packet import Packet
from av.stream import Discard
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from tubelet.errors import VideoError
from tubelet.video.damage import DecodedPacket, Name, damaged_frames, named
from tubelet.video.frame_index import (
    FrameIndex,
    index_from_frames,
    index_from_header,
    index_from_packets,
    missing_bytes,
)
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.pyav_open import damaged, no_frames, open_container, video_stream

SEEK_GAIN = 8
"""Seek only where at least so many frames need not be decoded then: a seek empties the decoder's pipeline."""

DAMAGE_CHECKS = "crccheck+bitstream+buffer+explode"
"""All that a decoder can check and that no good file fails."""

STRICT_CODECS = {
    "h264": "explode",
    "hevc": "explode",
} | dict.fromkeys(("mjpeg", "wmv1", "wmv2", "flv"), DAMAGE_CHECKS)
"""Codecs that report more damage as an error if they are asked to, and how they are asked (FFmpeg's `err_detect`)."""

THREADED_CODECS = ("h264", "hevc", "vp9", "av1", "libdav1d")
"""Codecs that are decoded in several threads. Other decoders can keep damage to themselves when they run in threads."""

TRUSTED_KEYS = 3
"""After so many packets that were marked as key frames and are none, decoding starts from the beginning only."""


class FramesDisagreeError(Exception):
    """What came out of the decoder is not what the index promised."""


class FrameReader:
    """A position in a video stream, from which frames are decoded one after the other.

    Args:
        path: a file.
        threads: of the decoder, 0 for all cores; see `THREADED_CODECS`.
        limits: of the size of a frame.

    Raises:
        VideoError: the file cannot be opened, has no video stream, or frames larger than the limit.

    Attributes:
        position: number of the first frame that may still come out, by the index last used.
    """

    position: int
    _packets: Iterator[Packet[VideoStream]]
    _sought: int | None

    def __init__(self, path: str, threads: int, limits: Limits = LIMITS) -> None:
        self._path = path
        self._threads = threads
        self._limits = limits
        self._is_careful = False
        self._is_strict = False
        self._false_keys: set[int] = set()
        self._open()
        self._skips_unused = self.stream.codec_context.name == "h264"

    def _open(self) -> None:
        self.container = open_container(self._path, self._limits)
        try:
            self.stream = video_stream(self.container, self._path)
            context = self.stream.codec_context
            self._limits.check_frame(self._path, context.height, context.width)
        except BaseException:
            self.container.close()
            raise
        for other in self.container.streams:
            if other is not self.stream:
                other.discard = Discard.all
        context.thread_count = self._threads if context.name in THREADED_CODECS else 1
        context.thread_type = "AUTO"
        self._set_options()
        self._set_useful(set())
        self._skipping = False
        self._start(self.packets(), 0)

    def _set_options(self) -> None:
        """Before the first frame: how strict the decoder is, and how large frames may become on the way."""
        context = self.stream.codec_context
        strictness = {"err_detect": STRICT_CODECS[context.name]} if self._is_strict else {}
        context.options = self._limits.decoder_options | strictness

    @property
    def runs_in_threads(self) -> bool:
        """Whether the decoder may use several threads, and what it gives does not depend on when it is looked at."""
        return self._threads != 1 and self.stream.codec_context.name in THREADED_CODECS

    @property
    def _can_seek(self) -> bool:
        """A palette comes with the first packet alone, and is lost when the decoder is emptied."""
        return self.stream.codec_context.pix_fmt != "pal8"

    def close(self) -> None:
        """Give back the file."""
        self._start(iter(()), 0)
        self.container.close()

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the stream from here on, with an empty one at the end.

        Raises:
            VideoError: the file cannot be read on.
        """
        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError as error:
            raise damaged(self._path, None, error) from error
        except IndexError:
            # At the end of a file PyAV 18 stumbles over streams that turned up on the way; ours has been read by then.
            return

    def rewind(self) -> None:
        """To the beginning, where no seek can go wrong: by opening the file again."""
        self.container.close()
        self._open()

    def be_careful(self) -> None:
        """To the beginning, and from now on decode in one thread and pass over nothing, so that no error is lost."""
        self._threads = 1
        self._is_careful = True
        self._skips_unused = False
        self.rewind()

    def be_strict(self, index: FrameIndex) -> None:
        """Before the first frame: let the decoder report all damage, also what it could hide by guessing pixels.

        Not for H.264 with frames that refer across key frames: after a seek it would report those as damage.
        """
        codec = self.stream.codec_context.name
        self._is_strict = codec in STRICT_CODECS and not (codec == "h264" and index.open_groups)
        self._set_options()

    def lose_position(self) -> None:
        """After an error: let the next request start from a key frame or from the beginning."""
        self._start(iter(()), sys.maxsize)

    def next(self) -> VideoFrame | None:
        """The next frame out of the decoder, or None at the end.

        Raises:
            VideoError: the decoder refuses a packet.
            FramesDisagreeError: the same, but it may have been another packet, as the decoder runs in threads, or
                damage that it would otherwise hide.
        """
        while not self._ready:
            packet = next(self._packets, None)
            if packet is None:
                return None
            self._choose_effort(packet)
            try:
                self._ready.extend(packet.decode())
            except av.EOFError:
                return None
            except (av.FFmpegError, ValueError) as error:
                if self._is_strict or not self._is_careful:
                    raise FramesDisagreeError from error
                raise damaged(self._path, packet, error) from error
        return self._ready.popleft()

    def put_back(self, frame: VideoFrame) -> None:
        """Let `next` give this frame again."""
        self._ready.appendleft(frame)

    def read_index(self, *, trust_header: bool) -> FrameIndex | None:
        """Which frames the stream holds, without decoding them; None where its packets say too little.

        The position in the stream is lost; `seek` or `rewind` before decoding.

        Args:
            trust_header: whether the index in the header of a large file may do.

        Raises:
            VideoError: there is no packet, or the file ends before all that its header lists.
        """
        index = index_from_header(self.container, self.stream) if trust_header else None
        if index is not None:
            return index
        count = 0

        def counted() -> Iterator[Packet[VideoStream]]:
            nonlocal count
            for packet in self.packets():
                count += 1 if packet.size else 0
                yield packet

        index = index_from_packets(counted(), self.stream)
        if not count:
            raise no_frames(self.stream, self._path)
        missing = missing_bytes(self.container, self.stream, count)
        if missing is not None:
            listed, needed = missing
            raise VideoError(
                self._path,
                f"cut off: its header lists {listed} frames in {needed} bytes, but the file ends at "
                f"{self.container.size} bytes, after {count}; get the whole file, or re-encode what there is",
            )
        return index

    # --- one after the other -------------------------------------------------------------------------------------

    def decode_all(self) -> tuple[VideoFrame, FrameIndex]:
        """Decode the whole file in one thread: its first frame, and the index of all.

        Where the decoder can be asked to be stricter, the file is decoded twice to learn what it refuses or marks then.

        Raises:
            VideoError: the decoder refuses a packet, or there is no frame.
        """
        refused: set[int] = set()
        corrupt: set[Name] = set()
        if self.stream.codec_context.name in STRICT_CODECS:
            self._is_strict = True
            self.be_careful()
            refused, corrupt = self._refused()
        self._is_strict = False
        self.be_careful()
        packets: list[DecodedPacket] = []
        self._packets = self._noted(self._packets, packets, refused)
        first: VideoFrame | None = None
        pts: list[int | None] = []
        marks: list[bool] = []
        while (frame := self.next()) is not None:
            first = first or frame
            pts.append(frame.pts)
            marks.append(frame.is_corrupt)
        if first is None:
            raise no_frames(self.stream, self._path)
        corrupt |= set(compress(named(pts), marks))
        return first, index_from_frames(pts, self.stream, damaged_frames(packets, pts, corrupt))

    def _refused(self) -> tuple[set[int], set[Name]]:
        """Numbers of the packets that the decoder refuses, and the frames that it says it restored only in part."""
        refused = set()
        marks: list[tuple[int | None, bool]] = []
        for number, packet in enumerate(self._packets):
            try:
                marks += [(frame.pts, frame.is_corrupt) for frame in packet.decode()]
            except av.EOFError:
                break
            except (av.FFmpegError, ValueError):
                refused.add(number)
        names = named(time for time, _ in marks)
        return refused, set(compress(names, (is_corrupt for _, is_corrupt in marks)))

    @staticmethod
    def _noted(
        packets: Iterator[Packet[VideoStream]], notes: list[DecodedPacket], refused: set[int]
    ) -> Iterator[Packet[VideoStream]]:
        for number, packet in enumerate(packets):
            if packet.size:
                notes.append(DecodedPacket(packet.pts, packet.is_keyframe, packet.is_corrupt or number in refused))
            elif number in refused and notes:
                notes[-1] = notes[-1]._replace(is_damaged=True)
            yield packet

    # --- by number -------------------------------------------------------------------------------------------------

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
        self._packets = packets
        self._ready: deque[VideoFrame] = deque()
        self._left_out: set[int] = set()
        self._sought = None
        self.position = position

    def _set_useful(self, pts: set[int]) -> None:
        """Say which frames are asked for; with none all are decoded."""
        self._useful = pts
        self._last_useful = max(pts, default=-sys.maxsize)

    def _choose_effort(self, packet: Packet[VideoStream]) -> None:
        """Let the decoder pass over a frame that nobody asked for, if no other frame refers to it.

        Frames after the last one asked for are decoded: the next request may well want them.
        """
        pts = packet.pts
        skip = pts is not None and pts < self._last_useful and pts not in self._useful
        if skip and pts is not None:
            self._left_out.add(pts)
        if skip != self._skipping:
            self.stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            self._skipping = skip


def _stands_alone(frame: VideoFrame) -> bool:
    """Whether the decoder says that the frame refers to no other; intra-only codecs may give no picture type."""
    return frame.key_frame and frame.pict_type in (PictureType.I, PictureType.NONE)
