"""The wheel holds what the package reads at run time, its text leads nowhere, and a second one has the same bytes."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tubelet"


def build(folder: Path) -> Path:
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def test_every_file_of_the_package_is_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [file for file in SOURCE.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert [str(file) for file in files if f"tubelet/{file.relative_to(SOURCE).as_posix()}" not in inside] == []
    for name in ("py.typed", "recipes/small-data.toml", "report/templates/run.html.j2", "demo/sample/clip.mp4"):
        assert f"tubelet/{name}" in inside
    assert not [
        name for name in inside if name.split("/")[0] not in ("tubelet", wheel.name.split("-py3")[0] + ".dist-info")
    ]


def test_it_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 2_500_000


def test_no_link_or_picture_of_its_text_is_relative(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
    text = archive.read(name).decode("utf-8")
    assert "# tubelet" in text
    assert "docs/weights.md" in text  # the text of a link stays
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("https://", "#"))] == []


def test_a_second_build_has_the_same_bytes(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = build(tmp_path / "first"), build(tmp_path / "second")
    assert first.read_bytes() == second.read_bytes()
