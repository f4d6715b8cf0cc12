"""How far damage spreads: the frames that may refer to one that could not be decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias


class DecodedPacket(NamedTuple):
    """A packet in the order of decoding: when its frame is shown, whether it is a key frame, whether it is damaged."""

    pts: int | None
    is_key: bool
    is_damaged: bool


def spread_damage(packets: Iterable[DecodedPacket]) -> list[bool]:
    """Whether the frame of each packet is damaged, or may refer to one that is.

    These are all frames from a damaged packet to the next key frame, and those after it that are shown before it.
    """
    found = []
    spreads, clean_from = False, None
    for packet in packets:
        if packet.is_damaged:
            spreads = True
        elif packet.is_key:
            spreads, clean_from = False, packet.pts if spreads else None
        is_before = clean_from is not None and packet.pts is not None and packet.pts < clean_from
        found.append(spreads or is_before)
    return found


Name: TypeAlias = tuple[int | None, int]
"""Of a packet and of its frame: a timestamp, and how often it came before."""


def named(pts: Iterable[int | None]) -> list[Name]:
    """Names of packets or frames, in the order in which they come."""
    before: Counter[int | None] = Counter()
    names = []
    for time in pts:
        names.append((time, before[time]))
        before[time] += 1
    return names


def damaged_frames(packets: list[DecodedPacket], pts: list[int | None], corrupt: set[Name]) -> frozenset[int]:
    """Numbers of the frames that are damaged or may refer to one that is, and of those before which frames are missing.

    Args:
        packets: of the whole stream.
        pts: of the frames that came out of them. A frame has the timestamp of its packet; those without one count as
            damaged if anything is.
        corrupt: frames that the decoder marks as restored only in part.
    """
    names, of_frames = named(packet.pts for packet in packets), named(pts)
    packets = [
        packet._replace(is_damaged=packet.is_damaged or name in corrupt)
        for packet, name in zip(packets, names, strict=True)
    ]
    damaged = corrupt | {name for name, is_bad in zip(names, spread_damage(packets), strict=True) if is_bad}
    found = {number for number, name in enumerate(of_frames) if name in damaged or (name[0] is None and damaged)}
    for lost, _ in damaged.difference(of_frames):
        later = [number for number, time in enumerate(pts) if lost is not None and time is not None and time > lost]
        found.update(later[:1] or [len(pts) - 1])
    return frozenset(found)
