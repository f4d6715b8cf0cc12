"""Opening a file with PyAV, and errors of one line for files that cannot be opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from tubelet.errors import VideoError
from tubelet.text import count
from tubelet.video.clip import REENCODE
from tubelet.video.file_part import FilePart
from tubelet.video.limits import Limits, TimeLimit
from tubelet.video.playlist import segments

CONVERT = "convert it to MP4"

# fmt: off
CONTAINERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "live_flv", "ogg", "gif", "apng", "mxf",
    "yuv4mpegpipe", "h261", "h263", "h264", "hevc", "vvc", "evc", "obu", "av1", "ivf", "m4v", "mjpeg", "mpjpeg",
    "smjpeg", "dirac", "vc1", "vc1test", "cavsvideo", "avs2", "avs3", "dv", "dnxhd", "rm", "nut", "nuv", "nsv", "wtv",
    "swf", "gxf", "lxf", "flic", "cine", "ser", "mp3", "wav", "flac", "aac",
)
# fmt: on
"""FFmpeg's names of the containers that are opened. None of them refers to other files or addresses, as lists (HLS,
DASH, ffconcat, SDP) and patterns of image files do. The last four hold sound, and are opened to say so."""

LENIENT_METADATA: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""What `av.open` needs so that titles that are not UTF-8 are no error; PyAV 19 takes them by itself."""

LISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"v=0")
"""Of which one is near the beginning of a list of other files: HLS, ffconcat, DASH, SDP."""

PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}
"""How files begin that are one picture."""


def open_container(path: str, limits: Limits) -> InputContainer:
    """Open a local file of any name.

    The name is handed over as a `file:` address, so that a dash or colon in it means nothing to FFmpeg. Of containers
    only `CONTAINERS` are opened, and of protocols only that of files, so that a file cannot make FFmpeg open another.
    A playlist is the exception: its segments are opened if they lie beside it (`tubelet.video.playlist`).

    Raises:
        VideoError: FFmpeg cannot make out a video or audio file.
    """
    try:
        url, protocols, formats = _url(path)
        return av.open(
            url,
            "r",
            options=limits.decoder_options,
            container_options={"protocol_whitelist": protocols, "format_whitelist": ",".join(formats)},
            **LENIENT_METADATA,
            timeout=limits.seconds,
        )
    except VideoError:
        raise
    except av.ExitError as error:
        raise TimeLimit(path, limits).exceeded() from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, _unreadable(path, error)) from error


def _url(path: str) -> tuple[str, str, Sequence[str]]:
    """The address that FFmpeg opens, and the protocols and containers that it may use for it."""
    part = FilePart.parse(path)
    if part is not None:
        return part.url, "file,subfile", CONTAINERS
    joined = segments(path)
    if joined is not None:
        return f"concat:{'|'.join(joined)}", "concat,file", ("mpegts",)
    return f"file:{path}", "file", CONTAINERS


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """The video stream with the most pixels a frame: of those that hold more than one picture, if any does.

    Cover pictures, thumbnails, and tiles of a larger picture are no video. Of streams with equally many pixels the one
    that is marked as default is taken, or else the first.

    Raises:
        VideoError: there is none, or there is no decoder for it.
    """
    covers = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        audio = len(container.streams.audio)
        holds = f"only audio ({count(audio, 'stream')})" if audio else "neither video nor audio"
        cover = " and a cover picture" if container.streams.video else ""
        raise VideoError(path, f"no video stream: the file holds {holds}{cover}")
    best = max(streams, key=_preference)
    context: VideoCodecContext | None = best.codec_context
    if context is None:
        raise VideoError(path, f"FFmpeg has no decoder for its video codec; {REENCODE}")
    return best


def _preference(stream: VideoStream) -> tuple[bool, bool, int, bool]:
    context: VideoCodecContext | None = stream.codec_context
    pixels = 0 if context is None else context.width * context.height
    return context is not None, stream.frames != 1, pixels, bool(stream.disposition & Disposition.default)


def no_frames(stream: VideoStream, path: str) -> VideoError:
    """The error of a stream that has a header and no frame."""
    promised = f"the header lists {stream.frames}, " if stream.frames else ""
    return VideoError(
        path,
        f"no frame in its {stream.codec_context.name} stream ({promised}the file holds none): an initialisation "
        "segment, or cut off; get the whole file",
    )


def damaged(path: str, packet: Packet[VideoStream] | None, error: Exception) -> VideoError:
    """The error of a packet that the decoder refuses, or of a file that cannot be read to its end."""
    where = "at the end"
    if packet is not None and packet.time_base is not None:
        time = packet.pts if packet.pts is not None else packet.dts
        where = "at an unknown time" if time is None else f"at {float(time * packet.time_base):.2f} s"
    what = f"the decoder reports '{_words(error)}'"
    if isinstance(error, av.ArgumentError):
        what += ", perhaps because a frame has more pixels than Limits.frame_pixels"
    return VideoError(path, f"damaged {where}: {what}; {REENCODE}")


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.split(":")[0].strip().lower()


def _first_bytes(path: str, count: int) -> bytes:
    part = FilePart.parse(path)
    if part is not None:
        return part.read(count)
    with Path(path).open("rb") as file:
        return file.read(count)


def _unreadable(path: str, error: Exception) -> str:
    if isinstance(error, av.PermissionError | PermissionError):
        return "may not be read: permission denied"
    try:
        start = _first_bytes(path, 256)
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "an MP4 or MOV file without a usable index: cut off or damaged; get the whole file"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return "a Matroska or WebM file with a broken header: cut off or damaged; get the whole file"
    if any(mark in start for mark in LISTS):
        return (
            "a list of other files (a playlist or manifest), which are not opened; join them to one MP4, and use that"
        )
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return f"a WebP picture, which is not decoded as a video, animated or not; {CONVERT}"
    for beginning, name in PICTURES.items():
        if start.startswith(beginning):
            return f"a single {name} picture; the pictures of a video belong in a folder, which is given instead"
    return f"not a video that FFmpeg can read ({_words(error)}); check that the file is a video, or {CONVERT}"


def log_is_off() -> bool:
    """Whether a decoder may run in threads of its own between calls.

    PyAV closes a decoder with the GIL held, and its log takes the GIL in the decoder's threads: a deadlock.
    """
    return av.logging.get_level() is None
