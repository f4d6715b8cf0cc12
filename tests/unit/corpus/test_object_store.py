"""Videos and results in an object store, by fsspec: the same rows as on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tubelet.corpus import check, run, search
from tubelet.corpus.store import open_store
from tubelet.errors import ConfigError, DataError


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def test_a_corpus_of_an_object_store(memory: MemoryFileSystem, model: Path, lake: Path) -> None:
    for name in ("0.mp4", "5.mp4", "broken.mp4"):
        memory.pipe_file(f"/videos/deep/{name}", (lake / name).read_bytes())
    memory.pipe_file("/videos/notes.txt", b"no video")
    statuses = run(model, "memory://videos", "memory://out", task_size=2, workers=0, embed=True)
    assert statuses == {"ok": 2, "unreadable": 1}
    assert sorted(open_store("memory://out").names()) == [
        "part-000000.parquet",
        "part-000001.parquet",
        "plan.json",
        "videos.parquet",
    ]
    assert check("memory://out").ok
    assert "_SUCCESS" in open_store("memory://out").names()
    memory.rm_file("/videos/deep/5.mp4")
    memory.rm_file("/out/part-000000.parquet")
    assert run(model, "", "memory://out", workers=0, embed=True, keep_plan=True) == {"ok": 1, "unreadable": 1}
    summary = check("memory://out", page=False)
    assert "does not exist in the object store" in summary.reasons
    with pytest.raises(ConfigError, match="copy the folder"):
        search("memory://out", 0)


def test_a_table_in_an_object_store_starts_from_its_folder(memory: MemoryFileSystem, model: Path, lake: Path) -> None:
    memory.pipe_file("/data/clips/a.mp4", (lake / "5.mp4").read_bytes())
    memory.pipe_file("/data/list.csv", b"path\nclips/a.mp4\n")
    assert run(model, "memory://data/list.csv", "memory://out", workers=0) == {"ok": 1}


def test_an_unknown_store_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        run(model, "nowhere://bucket/videos", tmp_path / "out")
    with pytest.raises(DataError, match="no video"):
        run(model, "memory://empty", tmp_path / "out")
