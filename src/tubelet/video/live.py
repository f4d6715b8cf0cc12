"""Video that comes as it happens: cameras and network addresses. Frames once, in order, and no going back."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType

import av
from av.container import InputContainer
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.colour import RGBConverter, orientation_of
from tubelet.video.pyav_open import LENIENT_METADATA, video_stream

PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp", "srt")
"""Of addresses that are opened. None of them leads to a file of this machine, nor does what they refer to."""

CAMERA_FORMATS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}
"""FFmpeg's name for cameras, and how it numbers them, by platform."""

TIMEOUT = 20.0
"""Seconds without an answer after which an address counts as gone."""


def is_address(name: str) -> bool:
    """Whether a name is a network address (`rtsp://camera/stream`) and no file."""
    return re.match(r"[a-z][a-z0-9+.-]*://", name, re.IGNORECASE) is not None


def address_without_password(address: str) -> str:
    """An address as it may be shown: without the user, the password, and what is behind a question mark."""
    protocol, _, rest = address.partition("://")
    rest, asked, _ = rest.partition("?")
    return f"{protocol}://{rest.rpartition('@')[2]}{'?...' if asked else ''}"


class LiveVideo:
    """A camera or a network address.

    A packet that the decoder refuses, as happens where packets are lost on the way, is passed over and counted; the
    frames around it are as the decoder restores them.

    Args:
        source: number of a camera, or an address such as `rtsp://user:word@host/stream`.

    Attributes:
        name: for people; without the user and password of an address.
        refused: packets passed over so far.

    Raises:
        VideoError: there is no such camera, nothing answers, or what comes is no video.
    """

    def __init__(self, source: int | str) -> None:
        self.name = f"camera {source}" if isinstance(source, int) else address_without_password(source)
        self.refused = 0
        self._container = _open_camera(source, self.name) if isinstance(source, int) else _open(source, self.name)
        try:
            self._stream = video_stream(self._container, self.name)
        except BaseException:
            self._container.close()
            raise
        self._stream.codec_context.thread_type = "AUTO"

    def __iter__(self) -> Iterator[tuple[float, Callable[[], Tensor]]]:
        """When each frame is shown (seconds on the source's own clock), and a function that gives it: uint8 [3, H, W].

        Raises:
            VideoError: the connection breaks.
        """
        converter: RGBConverter | None = None
        for frame in self._frames():
            if converter is None:
                converter = RGBConverter((frame.height, frame.width), orientation_of(frame)[0])
            yield frame.time or 0.0, partial(converter.convert, frame)

    def _frames(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                raise VideoError(self.name, f"the connection broke ({error.strerror}); start again") from error
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
        """Give back the camera or the connection."""
        self._container.close()

    def __enter__(self) -> LiveVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise VideoError(name, f"cannot be opened ({reason}); check the address, and that it is a video") from error


def _open_camera(number: int, name: str) -> InputContainer:
    if sys.platform not in CAMERA_FORMATS:
        raise VideoError(name, f"cameras are not supported on {sys.platform}; give an address or an iterator of frames")
    kind, place = CAMERA_FORMATS[sys.platform]
    try:
        return av.open(place.format(number), "r", format=kind)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            name, f"cannot be opened ({reason}); check that it is there and free, or give an iterator of frames"
        ) from error
