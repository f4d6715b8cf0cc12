"""`.ci/release.py`: one command makes a version ready to tag."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that it changes, and itself."""
    for name in (".ci/release.py", "CHANGELOG.md", "src/tubelet/version.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(folder / ".ci/release.py"), *words]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def test_a_release_is_prepared_checked_and_followed_by_the_next_version(copy: Path) -> None:
    assert "version.py says" in release(copy, "check", "v0.1.0").stderr
    assert release(copy, "prepare", "0.1.0").returncode == 0
    assert release(copy, "check", "v0.1.0").returncode == 0
    assert '__version__ = "0.1.0"' in (copy / "src/tubelet/version.py").read_text()
    assert "[Unreleased]" not in (copy / "CHANGELOG.md").read_text()
    assert release(copy, "next", "0.2.0.dev0").returncode == 0
    changes = (copy / "CHANGELOG.md").read_text()
    assert changes.index("## [Unreleased]") < changes.index("## [0.1.0] - ")


def test_what_is_no_release_is_refused(copy: Path) -> None:
    before = (copy / "CHANGELOG.md").read_text()
    assert "is no version" in release(copy, "prepare", "1.0").stderr
    assert "not released" in release(copy, "prepare", "0.1.0.dev1").stderr
    assert "already" in release(copy, "next", "0.2.0.dev0").stderr
    assert (copy / "CHANGELOG.md").read_text() == before
    assert release(copy, "prepare", "0.1.0").returncode == 0
    assert release(copy, "next", "0.2.0.dev0").returncode == 0
    assert "nothing to release" in release(copy, "prepare", "0.2.0").stderr
