"""HLS playlists of transport-stream segments in the same folder: such a video is its segments, joined."""

from __future__ import annotations

import os
from pathlib import Path

from tubelet.errors import VideoError

SUFFIX = ".m3u8"
MARK = "#EXTM3U"
MOST_BYTES = 2**20
"""Of a playlist; a day of segments of 2 seconds has less."""

NOT_READ = ("#EXT-X-KEY", "#EXT-X-MAP", "#EXT-X-BYTERANGE", "#EXT-X-STREAM-INF")
"""Tags of encrypted segments, fragmented MP4, parts of files, and lists of other lists (RFC 8216)."""


def segments(path: str) -> list[str] | None:
    """The files of a playlist, in its order.

    Only names of files in the playlist's own folder count, so that it cannot lead to others: no folders, no addresses,
    no links.

    Args:
        path: of a file.

    Returns:
        their paths; None if the file is not named as a playlist, or is none.

    Raises:
        VideoError: the playlist refers to something else.
    """
    if not path.lower().endswith(SUFFIX):
        return None
    with Path(path).open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    text = content.decode("utf-8-sig", errors="surrogateescape")
    if not text.startswith(MARK):
        return None
    if len(content) > MOST_BYTES:
        raise VideoError(path, f"a playlist of more than {MOST_BYTES} bytes")
    lines = [line.strip() for line in text.split("\n")]
    for tag in NOT_READ:
        if any(line.startswith(tag) for line in lines):
            raise VideoError(
                path, f"a playlist with {tag}, which is not read; join its segments to one MP4, and use that"
            )
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise VideoError(path, "a playlist without segments")
    return [_beside(path, name) for name in names]


def _beside(path: str, name: str) -> str:
    file = os.path.join(os.path.dirname(os.path.abspath(path)), name)
    plain = os.path.basename(name) == name and not set(name) & set(":\\") and not name.startswith(".")
    if not plain or "|" in file or os.path.islink(file) or not os.path.isfile(file):
        raise VideoError(
            path,
            f"a playlist that refers to {name[:100]!r}; only files that lie beside it are opened: join them to one "
            "MP4, and use that",
        )
    return file
