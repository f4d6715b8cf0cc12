"""Writing of shards: tar files that get their names when they are complete."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from tubelet.data.shard_reader import PREPARING
from tubelet.files import flush, storage_errors, write_text
from tubelet.json_files import dump_json, read_json_lines


@dataclass(frozen=True)
class Stored:
    """The position of a video in the shards.

    Attributes:
        key: that its files in the shard share.
        shard: name of the tar.
        offset: of the video's first byte.
        length: of the video, bytes.
        shift: seconds to take off its times: the clock of a video that was encoded anew begins at 0.
    """

    key: str
    shard: str
    offset: int
    length: int
    shift: float


class ShardWriter:
    """The shards of one split, one after the other.

    An unfinished shard has a temporary name. The journal of a shard lists its videos, and is written before the shard
    gets its name.

    Args:
        folder: of the shards.
        split: that their names begin with.
        most: bytes of videos in one.
    """

    def __init__(self, folder: Path, split: str, most: int) -> None:
        self._folder, self._split, self._most = folder, quote(split, safe=""), most
        self.stored = {one.key: one for one in self._finished()}
        self._number = 1 + max((int(one.shard[-10:-4]) for one in self.stored.values()), default=-1)
        self._tar: tarfile.TarFile | None = None

    def add(self, key: str, video: Path, suffix: str, description: dict[str, Any], shift: float) -> list[str]:
        """Put a video and its description into a shard; returns the keys of the videos in a shard that this
        finished."""
        length = video.stat().st_size
        done = self.finish() if self._tar is not None and self._bytes + length > self._most else []
        if self._tar is None:
            self._begin()
        assert self._tar is not None
        offset = self._put(f"{key}.{suffix}", video)
        self._put(f"{key}.json", dump_json(description).encode())
        self._bytes += length
        self._open.append(Stored(key, self._name, offset, length, shift))
        return done

    def finish(self) -> list[str]:
        """Give the present shard its name; as `add`."""
        if self._tar is None:
            return []
        with storage_errors(self._unfinished):
            self._tar.close()
        self._tar = None
        unfinished, journal = self._unfinished, self._journal(self._name)
        write_lines(journal, [asdict(one) for one in self._open])
        flush(unfinished)
        os.replace(unfinished, self._folder / self._name)
        self.stored |= {one.key: one for one in self._open}
        self._number += 1
        return [one.key for one in self._open]

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tar is not None:  # something went wrong before it was finished
            try:
                with storage_errors(self._unfinished):
                    self._tar.close()
            finally:
                self._unfinished.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._open: list[Stored] = []
        self._bytes = 0
        self._tar = tarfile.open(self._unfinished, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def _put(self, name: str, content: Path | bytes) -> int:
        """Add a file without owner and time; returns the offset of its first byte."""
        assert self._tar is not None
        info = tarfile.TarInfo(name)
        info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
        offset = self._tar.offset + len(info.tobuf(tarfile.USTAR_FORMAT))
        source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        with source as file, storage_errors(self._unfinished):
            self._tar.addfile(info, file)
        return offset

    def _finished(self) -> Iterable[Stored]:
        """What earlier processes finished."""
        for journal in sorted((self._folder / PREPARING).glob(f"{self._split}-??????.tar.jsonl")):
            if (self._folder / journal.name.removesuffix(".jsonl")).is_file():
                yield from (Stored(**line) for _, line in read_json_lines(journal))

    @property
    def _name(self) -> str:
        return f"{self._split}-{self._number:06d}.tar"

    @property
    def _unfinished(self) -> Path:
        return self._folder / PREPARING / f"{self._name}.unfinished"

    def _journal(self, name: str) -> Path:
        return self._folder / PREPARING / f"{name}.jsonl"


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """A JSONL file, whole or not at all."""
    write_text(path, "".join(dump_json(line) + "\n" for line in lines))
