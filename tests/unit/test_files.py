"""Files that several processes may write: what a killed one left goes, what a running one writes stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tubelet.evaluation.keeping import staging
from tubelet.files import process_name, replacing_folder, replacing_shared


@pytest.fixture
def ended() -> str:
    """The name of a process that has ended."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    return f"{socket.gethostname()}.{done.stdout.strip()}"


def test_unfinished_files_of_killed_processes_are_removed_and_others_stay(tmp_path: Path, ended: str) -> None:
    page = tmp_path / "page.html"
    left, running, elsewhere, other = (
        tmp_path / f".{name}.partial"
        for name in (
            f"page.html.{ended}",
            f"page.html.{socket.gethostname()}.{os.getppid()}",
            "page.html.another-machine.1",
            f"other.html.{ended}",
        )
    )
    for file in (left, running, elsewhere, other):
        file.write_text("half")
    with replacing_shared(page) as partial:
        partial.write_text("whole")
        assert process_name() in partial.name
    assert page.read_text() == "whole"
    assert not left.exists()
    assert running.exists()
    assert elsewhere.exists()
    assert other.exists()


def test_evaluations_that_were_killed_leave_nothing_behind_the_next_one(tmp_path: Path, ended: str) -> None:
    killed = tmp_path / f".evaluation-{ended}-abc"
    killed.mkdir()
    (killed / "predictions.jsonl").write_text("")
    with staging(tmp_path) as folder:
        assert not killed.exists()
        with staging(tmp_path):
            assert folder.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out", "a[1]*b"])
def test_a_folder_that_a_killed_process_moved_aside_is_not_lost(tmp_path: Path, ended: str, name: str) -> None:
    out, aside, half = (tmp_path / each for each in (name, f".{name}.before.{ended}", f".{name}.{ended}.partial"))
    for folder, text in ((aside, "old"), (half, "half")):
        folder.mkdir()
        (folder / "model").write_text(text)
    with pytest.raises(ZeroDivisionError), replacing_folder(out) as partial:
        (partial / "model").write_text(str(1 // 0))
    assert (out / "model").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
    aside.mkdir()
    with replacing_folder(out) as partial:
        (partial / "model").write_text("new")
    assert (out / "model").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]
