"""Live video: cameras and network addresses, with frames in order, each once."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import av
from av.container import InputContainer
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.text import address_without_password
from tubelet.video.colour import RGBConverter, orientation_of
from tubelet.video.protocol import Closing
from tubelet.video.pyav_open import LENIENT_METADATA, log_is_off, video_stream

PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp", "srt")
"""Of addresses that are opened. None of them leads to a file of this machine, nor does what they refer to."""

CAMERA_FORMATS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""FFmpeg's name for cameras, and how it numbers them, by platform."""

WITHOUT_CLOCK = ("mpjpeg", "mjpeg", "h264", "hevc", "m4v")
"""Formats without timestamps: FFmpeg makes them up at 25 frames a second."""

TIMEOUT = 20.0
"""Seconds without data after which a connection counts as broken."""


def is_address(name: str) -> bool:
    """Whether a name is a network address (`rtsp://camera/stream`) and no file."""
    return re.match(r"[a-z][a-z0-9+.-]*://", name, re.IGNORECASE) is not None


class LiveFrame(NamedTuple):
    """A frame of a live source.

    Attributes:
        timestamp: seconds on the source's own clock; None if it has none.
        arrival: when it was decoded, seconds (`time.monotonic`).
        waited: seconds of waiting for it.
        pixels: a function that returns it, uint8 [3, H, W].
    """

    timestamp: float | None
    arrival: float
    waited: float
    pixels: Callable[[], Tensor]


class LiveVideo(Closing):
    """One connection to a camera or a network address.

    A packet that the decoder refuses, as after packet loss, is skipped and counted; the frames around it are as the
    decoder restores them.

    Args:
        source: number of a camera, or an address such as `rtsp://user:word@host/stream`.

    Attributes:
        name: of the source, without the user and password of an address.
        refused: packets skipped so far.
        is_live: whether its length is unknown, as that of a camera; else it is a file.
        opened: when connecting began, seconds (`time.monotonic`).

    Raises:
        VideoError: there is no such camera, nothing answers, or what comes is no video.
    """

    def __init__(self, source: int | str) -> None:
        self.name = name_of(source)
        self.refused = 0
        self.opened = time.monotonic()
        self._container = _open_camera(source, self.name) if isinstance(source, int) else _open(source, self.name)
        try:
            self._stream = video_stream(self._container, self.name)
        except BaseException:
            self._container.close()
            raise
        self.is_live = isinstance(source, int) or not self._container.duration
        if log_is_off():
            self._stream.codec_context.thread_type = "AUTO"

    def __iter__(self) -> Iterator[LiveFrame]:
        """Frames, in order.

        Raises:
            VideoError: the connection breaks.
        """
        converter: RGBConverter | None = None
        size = (0, 0)
        has_clock = self._container.format.name not in WITHOUT_CLOCK
        asked = time.monotonic()
        for frame in self._frames():
            arrival = time.monotonic()
            if converter is None or size != (frame.height, frame.width):
                size = frame.height, frame.width
                converter = RGBConverter(size, orientation_of(frame)[0])
            timestamp = frame.time if has_clock else None
            yield LiveFrame(timestamp, arrival, arrival - asked, partial(converter.convert, frame))
            asked = time.monotonic()

    def _frames(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise VideoError(self.name, f"the connection broke ({reason_of(error)})") from None
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:
                self.refused += 1
                continue
            yield from frames

    def close(self) -> None:
        """Close the camera or the connection."""
        self._container.close()


def name_of(source: int | str) -> str:
    """The name of a source, without the user and password of an address."""
    return f"camera {source}" if isinstance(source, int) else address_without_password(source)


def reason_of(error: Exception) -> str:
    """FFmpeg's message without the address, which may hold a password."""
    return getattr(error, "strerror", None) or type(error).__name__


def _open(address: str, name: str) -> InputContainer:
    protocol = address.partition("://")[0].lower()
    if protocol not in PROTOCOLS:
        raise VideoError(name, f"{protocol}:// is not opened; these are: {', '.join(PROTOCOLS)}")
    options = {"rtsp_transport": "tcp"} if protocol in ("rtsp", "rtsps") else {}
    allowed = ",".join((*PROTOCOLS, "tls", "crypto", "httpproxy"))
    try:
        return av.open(
            address,
            "r",
            options=options,
            container_options={"protocol_whitelist": allowed},
            **LENIENT_METADATA,
            timeout=(TIMEOUT, TIMEOUT),
        )
    except (av.FFmpegError, OSError, ValueError) as error:  # which would show the address, password and all
        raise VideoError(
            name, f"cannot be opened ({reason_of(error)}); check the address, and that it is a video"
        ) from None


def _open_camera(number: int, name: str) -> InputContainer:
    if sys.platform not in CAMERA_FORMATS:
        raise VideoError(name, f"cameras are not supported on {sys.platform}; give an address or an iterator of frames")
    kind, device = CAMERA_FORMATS[sys.platform]
    try:
        return av.open(device.format(number), "r", format=kind)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            name, f"cannot be opened ({reason}); check that it is there and free, or give an iterator of frames"
        ) from error
