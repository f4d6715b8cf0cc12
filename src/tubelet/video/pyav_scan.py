"""Which frames a file holds: from its packets, or by decoding them all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

import av
from av.packet import Packet
from av.video.frame import VideoFrame
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
from tubelet.video.pyav_open import damaged, no_frames
from tubelet.video.pyav_stream import STRICT_CODECS, PacketDecoder


def read_index(stream: PacketDecoder, *, trust_header: bool) -> FrameIndex | None:
    """Which frames the stream holds, without decoding them; None where its packets say too little.

    The position in the stream is lost; `seek` or `rewind` before decoding.

    Args:
        stream: just opened.
        trust_header: whether the index in the header of a large file is enough.

    Raises:
        VideoError: there is no packet, or the file ends before all that its header lists.
    """
    index = index_from_header(stream.container, stream.stream) if trust_header else None
    if index is not None:
        return index
    stream.time_limit.restart()
    count = 0

    def counted() -> Iterator[Packet[VideoStream]]:
        nonlocal count
        for packet in stream.packets():
            count += 1 if packet.size else 0
            yield packet

    index = index_from_packets(counted(), stream.stream)
    if not count:
        raise no_frames(stream.stream, stream.path)
    missing = missing_bytes(stream.container, stream.stream, count)
    if missing is not None:
        listed, needed = missing
        raise VideoError(
            stream.path,
            f"cut off: its header lists {listed} frames in {needed} bytes, but the file ends at "
            f"{stream.container.size} bytes, after {count}; get the whole file, or re-encode what there is",
        )
    return index


def decode_all(stream: PacketDecoder) -> tuple[VideoFrame, FrameIndex]:
    """Decode the whole file in one thread: its first frame, and the index of all.

    Where the decoder can be strict, the file is decoded twice, to learn what it refuses or marks then.

    Raises:
        VideoError: the decoder refuses a packet, or there is no frame.
    """
    refused: set[int] = set()
    corrupt: set[Name] = set()
    if stream.stream.codec_context.name in STRICT_CODECS:
        stream.be_careful(strict=True)
        refused, corrupt = _refused(stream)
    stream.be_careful(strict=False)
    packets: list[DecodedPacket] = []
    first: VideoFrame | None = None
    pts: list[int | None] = []
    marks: list[bool] = []
    stream.time_limit.restart()
    for number, packet in enumerate(stream.packets()):
        if packet.size:
            is_damaged = packet.is_corrupt or number in refused
            packets.append(DecodedPacket(packet.pts, packet.is_keyframe, is_damaged))
        elif number in refused and packets:
            packets[-1] = packets[-1]._replace(is_damaged=True)
        try:
            frames = packet.decode()
        except av.EOFError:
            break
        except (av.FFmpegError, ValueError) as error:
            raise damaged(stream.path, packet, error) from error
        for frame in frames:
            first = first or frame
            pts.append(frame.pts)
            marks.append(frame.is_corrupt)
    if first is None:
        raise no_frames(stream.stream, stream.path)
    corrupt |= set(compress(named(pts), marks))
    return first, index_from_frames(pts, stream.stream, damaged_frames(packets, pts, corrupt))


def _refused(stream: PacketDecoder) -> tuple[set[int], set[Name]]:
    """Numbers of the packets that the decoder refuses, and the frames that it marks as restored only in part."""
    refused = set()
    marks: list[tuple[int | None, bool]] = []
    stream.time_limit.restart()
    for number, packet in enumerate(stream.packets()):
        try:
            marks += [(frame.pts, frame.is_corrupt) for frame in packet.decode()]
        except av.EOFError:
            break
        except (av.FFmpegError, ValueError):
            refused.add(number)
    names = named(time for time, _ in marks)
    return refused, set(compress(names, (is_corrupt for _, is_corrupt in marks)))
