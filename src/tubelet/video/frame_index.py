"""The frames of a file and their timestamps, from its packets or its header without decoding."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tubelet.video.clip import VideoMetadata
from tubelet.video.damage import DecodedPacket, spread_damage

LARGE_FILE_BYTES = 64 * 2**20
"""From this size on the index in an MP4's header is used if possible: reading all packets reads the whole file."""


@dataclass(frozen=True)
class KeyFrame:
    """A packet that decoding can start from.

    Attributes:
        position: number, among the frames shown, of the first one at or after it.
        pts: when it is shown, in units of the time base; None if the header does not have it.
        dts: when it is decoded.
    """

    position: int
    pts: int | None
    dts: int | None


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video stream in the order in which they are shown.

    Attributes:
        pts: presentation timestamps of the frames shown, strictly ascending, in units of `time_base`.
        keys: where decoding can start, ascending; the first is the beginning of the stream.
        time_base: seconds of one unit.
        last_duration: of the last frame, in units.
        source: see `VideoMetadata.frame_list`.
        open_groups: whether frames may refer to frames on the other side of a key frame.
        origin: where the file begins on its own clock, in seconds.
        damaged: numbers of the frames that are known to be damaged, or may refer to one that is.
    """

    pts: list[int]
    keys: list[KeyFrame]
    time_base: Fraction
    last_duration: int
    source: Literal["packets", "header", "decoded"]
    open_groups: bool = True
    origin: Fraction = Fraction(0)
    damaged: frozenset[int] = frozenset()

    def find(self, pts: int | None) -> int | None:
        """The number of the frame shown at `pts`, or None."""
        if pts is None:
            return None
        number = bisect.bisect_left(self.pts, pts)
        return number if number < len(self.pts) and self.pts[number] == pts else None

    def key_position(self, pts: int | None, dts: int | None) -> int | None:
        """The number of the first frame shown at or after the key frame whose packet has these timestamps, or None."""
        key = self._keys_by_time.get(pts if dts is None else dts)
        if key is None or key.pts not in (None, pts):
            return None
        return key.position if key.pts is not None else self.find(pts)

    def without_first(self, count: int) -> FrameIndex:
        """The same without so many frames at the beginning."""
        if not count:
            return self
        keys = [dataclasses.replace(key, position=max(0, key.position - count)) for key in self.keys]
        damaged = frozenset(number - count for number in self.damaged if number >= count)
        return dataclasses.replace(self, pts=self.pts[count:], keys=keys, damaged=damaged)

    @cached_property
    def _keys_by_time(self) -> dict[int | None, KeyFrame]:
        return {key.pts if key.dts is None else key.dts: key for key in self.keys}

    def key_before(self, frame: int) -> int:
        """The last of `keys` from which this frame can be decoded."""
        return max(0, bisect.bisect_right(self.keys, frame, key=lambda key: key.position) - 1)

    def is_uneven(self) -> bool:
        """Whether more than one frame in 50 is shown for a quarter longer or shorter than is usual."""
        steps = numpy.diff(numpy.asarray(self.pts))
        if not len(steps):
            return False
        usual = numpy.median(steps)
        return bool((numpy.abs(steps - usual) > usual / 4).mean() > 0.02)

    def seconds(self) -> NDArray[numpy.float64]:
        """float64 [N]: when each frame is shown, counted from the start of the file."""
        units = numpy.asarray(self.pts, dtype=numpy.float64) - float(self.origin / self.time_base)
        return units * self.time_base.numerator / self.time_base.denominator


def index_from_packets(packets: Iterator[Packet[VideoStream]], stream: VideoStream) -> FrameIndex | None:
    """The index by the packets of a stream, or None if these do not suffice and the file must be decoded.

    Packets that are marked to be discarded (edit lists) are left out, but decoding can start from them.
    """
    codec = stream.codec_context.name
    shown: list[tuple[int, int]] = []
    keys: list[tuple[int | None, int | None]] = []
    decoded: list[DecodedPacket] = []
    complete, open_groups = True, False
    for number, packet in enumerate(packets):
        if not packet.size:
            continue
        pts = packet.pts
        decoded.append(DecodedPacket(pts, packet.is_keyframe, packet.is_corrupt))
        if packet.is_keyframe or number == 0:
            keys.append((pts, packet.dts))
        if keys and pts is not None and keys[-1][0] is not None and pts < keys[-1][0]:
            open_groups = True
        if packet.is_discard or (codec in ("vp8", "libvpx") and _is_hidden_vp8(packet)):
            continue
        if pts is None:
            complete = False
        else:
            shown.append((pts, packet.duration or 0))
    shown.sort()
    pts_list = [pts for pts, _ in shown]
    if not complete or not shown or len(set(pts_list)) < len(pts_list) or _makes_up_timestamps(stream):
        return None
    duration = shown[-1][1] or _usual_step(pts_list)
    placed = [KeyFrame(bisect.bisect_left(pts_list, pts), pts, dts) for pts, dts in keys if pts is not None]
    placed = placed[:1] + sorted(placed[1:], key=lambda key: key.position)
    damaged = {packet.pts for packet, is_damaged in zip(decoded, spread_damage(decoded), strict=True) if is_damaged}
    return FrameIndex(
        pts_list,
        placed,
        time_base(stream),
        duration,
        "packets",
        open_groups,
        origin(stream, pts_list[0]),
        frozenset(number for number, pts in enumerate(pts_list) if pts in damaged),
    )


def index_from_header(container: InputContainer, stream: VideoStream) -> FrameIndex | None:
    """The index in the header of a large MP4 with frames of equal duration, or None.

    An MP4 lists when each packet is decoded. Where these times are evenly spaced, so are the presentation timestamps,
    from the stream's start on; that is checked with every frame that is decoded.
    """
    entries = stream.index_entries
    if container.size < LARGE_FILE_BYTES or "mp4" not in container.format.name or stream.start_time is None:
        return None
    if not stream.frames or len(entries) != stream.frames:
        return None
    facts = [(entry.timestamp, entry.is_keyframe, entry.is_discard, entry.pos + entry.size) for entry in entries]
    steps = {later[0] - earlier[0] for earlier, later in pairwise(facts)}
    if len(steps) != 1 or any(fact[2] for fact in facts) or max(fact[3] for fact in facts) > container.size:
        return None
    step = steps.pop()
    if step <= 0:
        return None
    pts = [stream.start_time + step * number for number in range(len(facts))]
    keys = [KeyFrame(number, None, fact[0]) for number, fact in enumerate(facts) if fact[1] or number == 0]
    return FrameIndex(pts, keys, time_base(stream), step, "header", origin=origin(stream, pts[0]))


def missing_bytes(container: InputContainer, stream: VideoStream, packets: int) -> tuple[int, int] | None:
    """(packets that the header lists, bytes that they need) if the file ends too early for them, else None."""
    entries = stream.index_entries
    if len(entries) <= packets or "mp4" not in container.format.name:
        return None
    needed = max(entry.pos + entry.size for entry in entries)
    return (len(entries), needed) if needed > container.size else None


def index_from_frames(pts: list[int | None], stream: VideoStream, damaged: frozenset[int] = frozenset()) -> FrameIndex:
    """The index of a stream by all of its decoded frames, in their order.

    Timestamps that do not ascend were made up from the order of packets: the frames keep their order and get the sorted
    timestamps. Where timestamps are missing or repeat, frames are spaced evenly.
    """
    step = max(1, round(1 / ((stream.average_rate or 25) * time_base(stream))))
    known = [value for value in pts if value is not None]
    if len(set(known)) == len(pts):
        values = sorted(known)
    else:
        values = [(min(known) if known else 0) + step * number for number in range(len(pts))]
    duration = _usual_step(values) if len(values) > 1 else step
    start = origin(stream, values[0])
    keys = [KeyFrame(0, None, None)]
    return FrameIndex(values, keys, time_base(stream), duration, "decoded", origin=start, damaged=damaged)


def describe(
    path: str, index: FrameIndex, stream: VideoStream, *, height: int, width: int, rotation: int, backend: str
) -> VideoMetadata:
    """Metadata by the list of frames, not by the header."""
    count = len(index.pts)
    duration = (index.pts[-1] - index.pts[0] + index.last_duration) * index.time_base
    return VideoMetadata(
        path=path,
        num_frames=count,
        duration=float(duration),
        frame_rate=float(count / duration if duration else stream.average_rate or 0),
        height=height,
        width=width,
        codec=stream.codec_context.name,
        rotation=rotation,
        variable_frame_rate=index.is_uneven(),
        backend=backend,
        start=float(index.pts[0] * index.time_base - index.origin),
        frame_list=index.source,
        pixel_aspect=_pixel_aspect(stream, rotation),
    )


def _pixel_aspect(stream: VideoStream, rotation: int) -> float:
    stored = float(stream.sample_aspect_ratio or 1)
    return 1 / stored if rotation % 180 else stored


def origin(stream: VideoStream, first: int) -> Fraction:
    """Where players start to count: the earliest start of video and sound, on the file's own clock, in seconds.

    Args:
        stream: the video.
        first: when its first frame is shown, in units of its time base.
    """
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    starts = [first * time_base(stream)]
    for other in (*stream.container.streams.video, *stream.container.streams.audio):
        if other.start_time is not None and not other.disposition & covers:
            starts.append(other.start_time * time_base(other))
    return min(starts)


def time_base(stream: Stream) -> Fraction:
    """Seconds of one unit."""
    base = stream.time_base
    return Fraction(base.numerator, base.denominator) if base else Fraction(1, 90_000)


def _makes_up_timestamps(stream: VideoStream) -> bool:
    """AVI has no presentation timestamps; where frames are reordered, those made up for it are often wrong."""
    return stream.container.format.name == "avi" and stream.codec_context.reorder_depth > 0


def _is_hidden_vp8(packet: Packet[VideoStream]) -> bool:
    """A VP8 frame that is only there to be referred to: its header's show_frame bit (RFC 6386, section 9.1) is 0."""
    return not memoryview(packet)[0] >> 4 & 1


def _usual_step(pts: list[int]) -> int:
    steps = sorted(later - earlier for earlier, later in pairwise(pts))
    return steps[len(steps) // 2] if steps else 0
