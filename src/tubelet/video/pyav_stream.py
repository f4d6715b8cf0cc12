"""One video stream, opened and decoded packet by packet with PyAV."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator

import av
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tubelet.video.frame_index import FrameIndex
from tubelet.video.limits import LIMITS, Limits, TimeLimit
from tubelet.video.pyav_open import damaged, log_is_off, open_container, video_stream

DAMAGE_CHECKS = "crccheck+bitstream+buffer+explode"
"""All that a decoder can check and that no good file fails."""

STRICT_CODECS = {
    "h264": "explode",
    "hevc": "explode",
} | dict.fromkeys(("mjpeg", "wmv1", "wmv2", "flv"), DAMAGE_CHECKS)
"""Codecs that report more damage as an error if they are asked to, and how they are asked (FFmpeg's `err_detect`)."""

THREADED_CODECS = ("h264", "hevc", "vp9", "av1", "libdav1d")
"""Codecs that are decoded in several threads while PyAV's log is off. Other decoders can keep damage to themselves when
they run in threads."""


class FramesDisagreeError(Exception):
    """What came out of the decoder is not what the index promised."""


class PacketDecoder:
    """A position in a video stream, from which frames are decoded one after the other.

    Args:
        path: a file.
        threads: of the decoder, 0 for all cores; see `THREADED_CODECS`.
        limits: of the size of a frame, and of the time until the next one that is asked for.

    Raises:
        VideoError: the file cannot be opened, has no video stream, or frames larger than the limit.

    Attributes:
        path: the file.
        time_limit: started again with each request.
        position: number of the first frame that may still come out, by the index last used.
    """

    def __init__(self, path: str, threads: int, limits: Limits = LIMITS) -> None:
        self.path = path
        self.time_limit = TimeLimit(path, limits)
        self._threads = threads
        self._limits = limits
        self._is_careful = False
        self._is_strict = False
        self._open()
        self._skips_unused = self.stream.codec_context.name == "h264"

    def _open(self) -> None:
        self.container = open_container(self.path, self._limits)
        try:
            self.stream = video_stream(self.container, self.path)
            context = self.stream.codec_context
            self._limits.check_frame(self.path, context.height, context.width)
        except BaseException:
            self.container.close()
            raise
        for other in self.container.streams:
            if other is not self.stream:
                other.discard = Discard.all
        self._decoder_threads = self._threads if context.name in THREADED_CODECS and log_is_off() else 1
        context.thread_count = self._decoder_threads
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
        """Whether the decoder uses threads, which for these codecs does not change its frames."""
        return self._decoder_threads != 1

    def close(self) -> None:
        """Close the file."""
        self._start(iter(()), 0)
        self.container.close()

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the stream from here on, with an empty one at the end.

        Raises:
            VideoError: the file cannot be read on, or the time limit is exceeded.
        """
        try:
            for packet in self.container.demux(self.stream):
                self.time_limit.check()
                yield packet
        except av.ExitError as error:
            raise self.time_limit.exceeded() from error
        except av.FFmpegError as error:
            raise damaged(self.path, None, error) from error
        except IndexError:
            # PyAV 18 stumbles at the end of a file over streams that appeared on the way; ours has been read by then.
            return

    def rewind(self) -> None:
        """Go to the beginning by opening the file again, which is exact in any container."""
        self.container.close()
        self._open()

    def be_careful(self, *, strict: bool | None = None) -> None:
        """Go to the beginning, and from now on decode in one thread and skip nothing, so that no error is lost.

        Args:
            strict: whether the decoder reports all damage (see `be_strict`); None leaves that as it is.
        """
        self._is_strict = self._is_strict if strict is None else strict
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
                raise damaged(self.path, packet, error) from error
        return self._ready.popleft()

    def put_back(self, frame: VideoFrame) -> None:
        """Let `next` give this frame again."""
        self._ready.appendleft(frame)

    def _start(self, packets: Iterator[Packet[VideoStream]], position: int) -> None:
        self._packets = packets
        self._ready: deque[VideoFrame] = deque()
        self._left_out: set[int] = set()
        self.position = position

    def _set_useful(self, pts: set[int]) -> None:
        """Say which frames are asked for; with none all are decoded."""
        self._useful = pts
        self._last_useful = max(pts, default=-sys.maxsize)

    def _choose_effort(self, packet: Packet[VideoStream]) -> None:
        """Let the decoder skip a frame that is not asked for, if no other frame refers to it.

        Frames after the last one asked for are decoded: the next request may ask for them.
        """
        pts = packet.pts
        skip = pts is not None and pts < self._last_useful and pts not in self._useful
        if skip and pts is not None:
            self._left_out.add(pts)
        if skip != self._skipping:
            self.stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            self._skipping = skip
