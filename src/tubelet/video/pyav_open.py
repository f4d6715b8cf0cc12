"""Opening a file with PyAV, and what to tell people when it cannot be done: one line, and what helps."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from tubelet.errors import VideoError
from tubelet.video.file_part import FilePart

REENCODE = "re-encode it from the source or leave it out"


def open_container(path: str) -> InputContainer:
    """Open a local file, whatever its name looks like.

    The name is handed over as a `file:` address, so that a dash or colon in it means nothing to FFmpeg, and files that
    are lists of other addresses cannot make FFmpeg open them.

    Raises:
        VideoError: FFmpeg cannot make out a video or audio file.
    """
    part = FilePart.parse(path)
    url, protocols = (f"file:{path}", "file") if part is None else (part.url, "file,subfile")
    try:
        return av.open(url, "r", container_options={"protocol_whitelist": protocols}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, _unreadable(path, error)) from error


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
        VideoError: there is none, or there is no decoder for it.
    """
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        audio = len(container.streams.audio)
        holds = f"only audio ({audio} stream{'s' if audio != 1 else ''})" if audio else "neither video nor audio"
        cover = " and a cover picture" if container.streams.video else ""
        raise VideoError(path, f"no video stream: the file holds {holds}{cover}")
    if streams[0].codec_context is None:
        raise VideoError(path, f"FFmpeg has no decoder for its video codec; {REENCODE}")
    return streams[0]


def no_frames(stream: VideoStream, path: str) -> VideoError:
    """For a stream that has a header and nothing else."""
    promised = f"the header lists {stream.frames}, " if stream.frames else ""
    return VideoError(
        path,
        f"no frame in its {stream.codec_context.name} stream ({promised}the file holds none): an initialisation "
        "segment, or cut off; get the whole file",
    )


def damaged(path: str, packet: Packet[VideoStream] | None, error: Exception | None) -> VideoError:
    """For a packet that the decoder refuses, or that is incomplete."""
    where = "at the end"
    if packet is not None and packet.time_base is not None:
        time = packet.pts if packet.pts is not None else packet.dts
        where = "at an unknown time" if time is None else f"at {float(time * packet.time_base):.2f} s"
    what = (
        "a frame's data is incomplete, the file may be cut off there"
        if error is None
        else f"the decoder reports '{_words(error)}'"
    )
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
        start = _first_bytes(path, 12)
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "an MP4 or MOV file without a usable index: cut off or damaged; get the whole file"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return "a Matroska or WebM file with a broken header: cut off or damaged; get the whole file"
    return f"not a video that FFmpeg can read ({_words(error)}); check that the file is a video, or convert it to MP4"
