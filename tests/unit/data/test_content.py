"""What a video holds, whatever it is called."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tubelet.config.shards import ShardConfig
from tubelet.data import prepare, read_table
from tubelet.data.content import content_key, copies


def written(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.mark.parametrize("size", [5, 2**20, 2**20 + 1, 5 * 2**20])
def test_a_copy_has_the_key_of_its_original_and_nothing_else_has(tmp_path: Path, size: int) -> None:
    first = written(tmp_path / "a.mp4", noise(size))
    copy = written(tmp_path / "elsewhere" / "b.mkv", noise(size))
    os.utime(copy, (1, 1))
    link = tmp_path / "link.mp4"
    link.symlink_to(first)
    assert content_key(first) == content_key(Path(copy)) == content_key(link)
    others = [noise(size, seed=1), noise(size)[:-1], noise(size) + b"x"]
    for changed in (0, size // 2, size - 1):  # one byte at the start, in the middle or at the end
        piece = bytearray(noise(size))
        piece[changed] ^= 1
        others.append(bytes(piece))
    assert content_key(first) not in {content_key(written(tmp_path / "other.mp4", other)) for other in others}


def test_the_keys_are_those_of_every_version_and_machine(tmp_path: Path) -> None:
    """They stand in the files of runs: another way to compute them would make every known video unknown."""
    assert content_key(written(tmp_path / "small.mp4", b"tubelet")) == "316027d98435a8769229ca1ce7586f0c"
    assert content_key(written(tmp_path / "large.mp4", bytes(range(256)) * 8192)) == "2323b025f079381f398f939682068162"
    for name in ("1.png", "2.png"):
        written(tmp_path / "frames" / name, name.encode())
    assert content_key(tmp_path / "frames") == "2c624612a7ee45df7b55b1a913eab2cd"


def test_a_folder_of_frames_may_move_and_other_files_in_it_do_not_count(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    for number in range(9):
        written(frames / f"{number:03d}.png", noise(100, number))
    key = content_key(frames)
    moved = shutil.copytree(frames, tmp_path / "new" / "name")
    written(moved / "notes.txt", b"not a frame")
    written(moved / ".hidden.png", b"not a frame")
    assert key is not None
    assert content_key(moved) == key
    assert copies([str(frames), str(moved)]) == [[str(frames), str(moved)]]
    for name, content in (("008.png", noise(100, 99)), ("004.png", noise(100, 99)), ("002.png", noise(99))):
        other = shutil.copytree(frames, tmp_path / f"other {name}")
        written(other / name, content)
        assert content_key(other) != key


def test_a_video_in_a_shard_has_the_key_of_the_file(folder: Path, tmp_path: Path) -> None:
    table = read_table(folder)
    prepare(table, tmp_path / "shards", ShardConfig(copy=True), workers=1)
    shards = read_table(tmp_path / "shards")
    assert [content_key(one.path) for one in shards.samples] == [content_key(one.path) for one in table.samples]
    moved = read_table(shutil.move(tmp_path / "shards", tmp_path / "moved"))
    assert [content_key(one.path) for one in moved.samples] == [content_key(one.path) for one in table.samples]


def test_what_is_no_video_has_no_key(tmp_path: Path) -> None:
    (tmp_path / "empty folder").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it would wait for ever
    for path in ("empty folder", "pipe.mp4", "not there.mp4", "cut off.tar#0+99/a.mp4"):
        assert content_key(tmp_path / path) is None
    assert content_key("rtsp://camera/1") is None


def test_copies_are_found_whatever_else_is_there(tmp_path: Path) -> None:
    long = bytearray(noise(2**21))
    long[70_000] ^= 1  # between the pieces that a key is made of
    contents = [noise(3000), b"", noise(3000, 1), noise(2**21), noise(3000), b"", bytes(long), noise(2**21), b"x"]
    paths = [written(tmp_path / f"{number}.mp4", content) for number, content in enumerate(contents)]
    missing = str(tmp_path / "missing.mp4")
    by_key = copies([missing, *paths])
    assert by_key == [[paths[0], paths[4]], [paths[3], paths[6], paths[7]]]
    assert copies([missing, *paths], whole=True) == [[paths[0], paths[4]], [paths[3], paths[7]]]


def test_many_files_are_compared_as_few(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.mp4", noise(500, number % 70)) for number in range(100)]
    assert copies(paths) == [[paths[number], paths[number + 70]] for number in range(30)]
