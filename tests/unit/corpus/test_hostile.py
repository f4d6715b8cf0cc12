"""A disk that is full or read-only is one clear error, an odd or vanished video is a row, and the next call goes on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus_chaos
from tubelet.corpus import check, run, select
from tubelet.corpus.labels import write_rows
from tubelet.corpus.parts import name_of
from tubelet.corpus.sources import list_videos

HOW: dict[str, Any] = {"embed": True, "logits": True, "task_size": 4}


def command(
    model: Path, lake: Path, out: Path, *, wrapper: tuple[str, ...] = (), before: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Exit code and standard error of the command with two workers."""
    words = [*wrapper, sys.executable, "-m", "tubelet", "corpus", "run", str(model), str(lake), "--out", str(out)]
    done = subprocess.run(
        [*words, "--embed", "--logits", "--task-size", "4", "--workers", "2"],
        preexec_fn=before,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def goes_on(model: Path, lake: Path, out: Path, finished: Path) -> None:
    """The next call makes the whole of it."""
    run(model, lake, out, **HOW, workers=0)
    assert check(str(out), page=False).ok
    assert corpus_chaos.rows_of(out) == corpus_chaos.rows_of(finished)
    assert not list(out.glob(".*partial*"))


def test_a_full_disk_is_one_error_and_no_half_part(corpus: Path, finished: Path, model: Path, lake: Path) -> None:
    (corpus / name_of(1)).unlink()

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    code, words = command(model, lake, corpus, before=small)
    assert code == 1, words
    assert f"cannot write {corpus / name_of(1)}: File too large" in " ".join(words.split())
    assert "Traceback" not in words
    assert not (corpus / name_of(1)).exists()
    goes_on(model, lake, corpus, finished)


def test_a_folder_that_is_read_only_is_one_error(corpus: Path, finished: Path, model: Path, lake: Path) -> None:
    (corpus / name_of(0)).unlink()
    corpus.chmod(0o555)
    # root may write everywhere, unless that is taken away
    wrapper = () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override")
    code, words = command(model, lake, corpus, wrapper=wrapper)
    corpus.chmod(0o755)
    assert code == 1, words
    assert "no permission; name a folder that you may write to" in " ".join(words.split())
    assert "Traceback" not in words
    goes_on(model, lake, corpus, finished)


def test_a_video_that_vanishes_during_the_run_is_a_row(model: Path, lake: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("0.mp4", "5.mp4"):
        shutil.copy(lake / name, source)

    def vanish(event: dict[str, Any]) -> None:
        if event["event"] == "task":
            (source / "5.mp4").unlink(missing_ok=True)

    assert run(model, source, out, task_size=1, workers=0, on_event=vanish) == {"ok": 1, "unreadable": 1}
    assert check(str(out), page=False).ok
    assert "exist" in str(corpus_chaos.rows_of(out)[1]["reason"])
    shutil.copy(lake / "5.mp4", source)
    (out / name_of(1)).unlink()
    assert run(model, source, out, task_size=1, workers=0) == {"ok": 1}


def test_a_path_that_stands_twice_has_two_equal_rows(model: Path, lake: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "videos.csv", tmp_path / "out"
    table.write_text(f"path\n{lake / '5.mp4'}\n{lake / '0.mp4'}\n{lake / '5.mp4'}\n")
    assert run(model, table, out, **HOW, workers=0) == {"ok": 3}
    first, _, twice = corpus_chaos.rows_of(out)
    assert (first.pop("id"), twice.pop("id")) == (0, 2)
    assert first == twice
    assert check(str(out), page=False).ok


def test_odd_names_come_back_as_they_are(corpus: Path, finished: Path, model: Path, lake: Path, tmp_path: Path) -> None:
    odd = [video for video in list_videos(lake) if "\n" in video.path or not video.path.isascii()]
    assert len(odd) == 2
    for part in {name_of(video.id // 4) for video in odd}:
        (corpus / part).unlink()
    goes_on(model, lake, corpus, finished)
    write_rows(select(corpus, 9), tmp_path / "next.csv")
    listed = {video.path for video in list_videos(tmp_path / "next.csv")}
    assert len(listed) == 7  # training reads it: without the names that no table can hold
    assert all(map(os.path.exists, listed))


def test_links_that_lead_nowhere_or_in_a_circle_are_rows(model: Path, lake: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    shutil.copy(lake / "5.mp4", source / "deep")
    for name, target in (("self.mp4", "self.mp4"), ("gone.mp4", "nothing.mp4"), ("deep/circle", "..")):
        os.symlink(target, source / name)
    table = tmp_path / "videos.csv"
    table.write_text("path\nsource/self.mp4\nsource/gone.mp4\nsource/deep/5.mp4\nsource/deep/circle/deep/5.mp4\n")
    assert run(model, table, out, workers=0) == {"unreadable": 2, "ok": 2}
    assert check(str(out)).ok
    assert len([video for video in list_videos(source) if video.path.endswith("5.mp4")]) == 1
