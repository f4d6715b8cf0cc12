"""Results on disk as soon as they are there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tubelet.data.shard_writer import PREPARING, ShardWriter
from tubelet.errors import StorageError
from tubelet.prediction.writing import part_lines


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond `size` bytes: as on a full disk, the error names no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_lines_is_blamed_with_the_file_and_what_there_is_stays(tmp_path: Path) -> None:
    part, kept = tmp_path / "results.jsonl.part", list[int]()
    with small_files(1 << 16), pytest.raises(StorageError, match=r"cannot write .*results\.jsonl\.part"):
        write_many(part, tmp_path / "results.jsonl", kept)
    assert kept == [65]
    assert part.read_text().splitlines()[:65] == ["x" * 999] * 65
    assert not (tmp_path / "results.jsonl").exists()


def write_many(part: Path, done: Path, kept: list[int]) -> None:
    with part_lines(part, done, kept.append) as write:
        for _ in range(200):
            write("x" * 999)


def test_a_disk_that_takes_no_more_of_a_shard_is_blamed_with_the_shard(tmp_path: Path) -> None:
    (tmp_path / PREPARING).mkdir()
    video = tmp_path / "video.mp4"
    video.write_bytes(b"0" * (1 << 17))
    with small_files(1 << 16), pytest.raises(StorageError, match=r"cannot write .*train-000000\.tar"):
        write_shard(tmp_path, video)
    assert not list((tmp_path / PREPARING).iterdir())


def write_shard(folder: Path, video: Path) -> None:
    with ShardWriter(folder, "train", 10**6) as writer:
        writer.add("00000000", video, "mp4", {"path": "video.mp4", "samples": []}, 0.0)
        writer.finish()
