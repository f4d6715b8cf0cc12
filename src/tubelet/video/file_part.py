"""A video inside another file, as in a tar: it has a path like any other, and is opened without unpacking."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tubelet.errors import VideoError

_ADDRESS = re.compile(r"(?P<file>.+\.tar)#(?P<offset>\d+)\+(?P<length>\d+)[/\\](?P<name>.+)", re.DOTALL)

BLOCK = 2**20
"""Bytes that are read at once."""


@dataclass(frozen=True)
class FilePart:
    """Some bytes of a file that are a video.

    As text, which is accepted wherever a path is: `shards/train-000000.tar#1536+48213/wave/01.mp4`.

    Attributes:
        file: that holds them.
        offset: of the first byte.
        length: in bytes.
        name: of the video, with / between folders; may begin with `../`.
    """

    file: str
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        # normalising a path would resolve `..`, and # begins the numbers
        parts = self.name.replace("%", "%25").replace("#", "%23").replace("\\", "%5C").split("/")
        name = "/".join({"..": "%2E%2E", ".": "%2E"}.get(part, part) for part in parts)
        return f"{self.file}#{self.offset}+{self.length}/{name}"

    @classmethod
    def parse(cls, path: str | Path) -> FilePart | None:
        """The part that a path names; None if it names a file of its own (which counts, if there is one so called)."""
        text = os.fspath(path)
        match = _ADDRESS.fullmatch(text)
        if match is None or os.path.exists(text):
            return None
        name = unquote(match["name"].replace("\\", "/"))
        return cls(match["file"], int(match["offset"]), int(match["length"]), name)

    @property
    def url(self) -> str:
        """The address under which FFmpeg opens it; its protocols are `file` and `subfile`."""
        return f"subfile,,start,{self.offset},end,{self.offset + self.length},,:file:{self.file}"

    def require(self) -> None:
        """Raise a VideoError if the file does not hold these bytes."""
        if not os.path.isfile(self.file):
            raise VideoError(str(self), f"{self.file}, which it lies in, does not exist")
        size = os.path.getsize(self.file)
        if size < self.offset + self.length:
            raise VideoError(
                str(self), f"{self.file}, which it lies in, ends at {size} bytes: cut off; copy or prepare it again"
            )

    def read(self, count: int) -> bytes:
        """The first bytes."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(min(count, self.length))

    def blocks(self) -> Iterator[bytes]:
        """All bytes, in order."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            left = self.length
            while left and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                yield block


def video_exists(path: str) -> bool:
    """Whether the path is that of a file, a folder of frames, or a part of a file, which exists."""
    part = FilePart.parse(path)
    if part is None:
        return os.path.exists(path)
    return os.path.isfile(part.file) and os.path.getsize(part.file) >= part.offset + part.length
