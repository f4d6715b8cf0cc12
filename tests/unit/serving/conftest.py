"""One service for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving_help import Running, running, write_day


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(upload_bytes=2**20, deadline=20) as service:
        yield service


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Dark frames, then bright ones, at 10 frames a second."""
    return write_day(tmp_path / "clip.mp4", [0] * 8 + [255] * 8)
