"""A small corpus that was run once: a lake with odd names, a broken file, and a model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from tubelet.corpus import run
from tubelet.video import write_video


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "day"
    tubelet.save(tiny.day_and_night(), folder)
    return folder


def write_lake(folder: Path) -> Path:
    """Nine videos, a text called a video, a file that is no video, and a circle of links."""
    folder.mkdir()
    for number in range(6):
        level = 20 + 40 * number
        frames = torch.full((8, 3, 20, 24), level, dtype=torch.uint8)
        write_video(folder / f"{number}.mp4", frames, 10.0)
    shutil.copy(folder / "0.mp4", folder / "a\nb.mp4")
    shutil.copy(folder / "5.mp4", os.path.join(os.fsencode(folder), b"odd\xff.mp4"))
    (folder / "deep").mkdir()
    shutil.copy(folder / "5.mp4", folder / "deep" / "5.mp4")
    (folder / "broken.mp4").write_bytes(b"no video" * 100)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("no video")
    os.symlink(folder, folder / "deep" / "circle")
    return folder


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture(scope="session")
def finished(model: Path, lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, by two workers."""
    out = tmp_path_factory.mktemp("corpus") / "out"
    statuses = run(model, lake, out, embed=True, logits=True, task_size=4, workers=2)
    assert statuses == {"ok": 9, "unreadable": 2}
    return out


@pytest.fixture
def corpus(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "corpus"))
