"""Fingerprints of the content of videos: the same for every copy, under any path."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from tubelet.video import FilePart
from tubelet.video.frame_folder import image_names

T = TypeVar("T")

WHOLE = 2**20
"""Bytes up to which a file is read in full."""

BLOCKS, BLOCK = 15, 2**16
"""Of a larger file: how many pieces are read, spread evenly from its start to its end, and the bytes of each."""

PROBE = 2**12
"""Bytes that two files of one size must share before more of them is read."""

THREADS = 8
"""That read files which might be copies."""

MANY = 64
"""Files from which on reading in threads pays."""


def content_key(path: str | os.PathLike[str]) -> str | None:
    """The fingerprint of a video's content: not of its name, its place, or the time it was written.

    Of a file it is over the size and the bytes: all of them up to 1 MiB, else 15 pieces of 64 KiB, spread evenly from
    the start to the end. Of a folder of frames it is over the names and sizes of the images and the content of the
    first, the middle and the last; other files in it do not count. A video inside a shard has the key that it would
    have as a file.

    Args:
        path: of a file, a folder of frames, or a part of a file (`FilePart`).

    Returns:
        32 hexadecimal digits, the same on every machine and in every version; None for what does not exist, cannot be
        read, or holds no video (a folder without images, a pipe, an address).
    """
    return _or_none(_key, os.fspath(path))


def copies(paths: Iterable[str], *, whole: bool = False) -> list[list[str]]:
    """Groups of paths that hold the same content, each group and all of them in the order of `paths`.

    Only files that share their size with another one are opened, and only a little is read of those that turn out to be
    different. Empty files are no copies.

    Args:
        paths: of videos, each once.
        whole: compare every byte of what has the same key, instead of the key alone.
    """
    groups = [list(paths)]
    order = {path: place for place, path in enumerate(groups[0])}
    for part_of in (_size, _probe, _key, *((_digest,) if whole else ())):
        groups = [finer for group in groups for finer in _refine(group, part_of)]
    return sorted(groups, key=lambda group: order[group[0]])


def _refine(paths: Sequence[str], part_of: Callable[[str], Any]) -> list[list[str]]:
    """Groups of two or more paths with the same value; paths without a value are left out."""
    part = partial(_or_none, part_of)
    if len(paths) < MANY:
        found = list(map(part, paths))
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(part, paths))
    groups: dict[Any, list[str]] = defaultdict(list)
    for path, value in zip(paths, found, strict=True):
        if value is not None:
            groups[value].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _or_none(part_of: Callable[[str], T], path: str) -> T | None:
    """`part_of(path)`; None where the path cannot be read."""
    try:
        return part_of(path)
    except OSError:
        return None


def _is_folder(path: str) -> bool:
    return FilePart.parse(path) is None and os.path.isdir(path)


def _size(path: str) -> Any:
    """The size, without opening the file; None for an empty or missing one."""
    if not _is_folder(path):
        span = _span(path)
        return span[2] if span is not None and span[2] else None
    names = image_names(path)
    ends = [(name, os.path.getsize(os.path.join(path, name))) for name in (names[0], names[-1])] if names else []
    return (len(names), *ends) if ends else None


def _probe(path: str) -> str | None:
    """Hash of a few bytes from the middle and the end; the same for all folders of frames."""
    if _is_folder(path):
        return "frames"
    span = _span(path)
    if span is None:
        return None
    file, offset, length = span
    count = min(PROBE, length)
    return _hash(file, [(offset + (length - count) // 2, count), (offset + length - count, count)])


def _key(path: str) -> str | None:
    """See `content_key`."""
    if _is_folder(path):
        return _frames_key(path)
    span = _span(path)
    return None if span is None else _bytes_key(*span)


def _digest(path: str) -> str | None:
    """Hash of every byte."""
    files = [os.path.join(path, name) for name in image_names(path)] if _is_folder(path) else [path]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        span = _span(file)
        if span is None:
            return None
        for block in FilePart(*span, name="").blocks():
            digest.update(block)
    return digest.hexdigest()


def _span(path: str) -> tuple[str, int, int] | None:
    """(file, first byte, bytes) of a video that lies in one file; None if that is no file, or too short."""
    part = FilePart.parse(path)
    file = path if part is None else part.file
    if not os.path.isfile(file):
        return None
    size = os.path.getsize(file)
    if part is None:
        return file, 0, size
    return (file, part.offset, part.length) if size >= part.offset + part.length else None


def _bytes_key(file: str, offset: int, length: int) -> str:
    if length <= WHOLE:
        pieces = [(offset, length)]
    else:
        pieces = [(offset + place * (length - BLOCK) // (BLOCKS - 1), BLOCK) for place in range(BLOCKS)]
    return _hash(file, pieces, f"file {length}\n")


def _frames_key(folder: str) -> str | None:
    names = image_names(folder)
    if not names:
        return None
    paths = [os.path.join(folder, name) for name in names]
    sizes = [os.path.getsize(path) for path in paths]
    digest = hashlib.blake2b(b"frames\n", digest_size=16)
    for name, size in zip(names, sizes, strict=True):
        digest.update(os.fsencode(name) + f"\0{size}\n".encode())
    for place in (0, len(names) // 2, -1):
        digest.update(_bytes_key(paths[place], 0, sizes[place]).encode())
    return digest.hexdigest()


def _hash(file: str, pieces: Iterable[tuple[int, int]], before: str = "") -> str:
    """Hash of some pieces (first byte, bytes) of a file."""
    digest = hashlib.blake2b(before.encode(), digest_size=16)
    with open(file, "rb") as opened:
        for offset, count in pieces:
            opened.seek(offset)
            digest.update(opened.read(count))
    return digest.hexdigest()
