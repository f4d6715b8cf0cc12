"""A Ray cluster writes the rows that this machine writes, also while its workers and actors are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import corpus_chaos
from tubelet.corpus import check, run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ray_writes_the_same_rows_though_workers_and_actors_die(model: Path, tmp_path: Path) -> None:
    lake = corpus_chaos.write_lake(tmp_path / "lake", 90, 2, 1, 0)
    out, log = tmp_path / "ray", tmp_path / "log"
    driver = corpus_chaos.start(model, lake, out, log, "ray")
    for number, words in enumerate((b"tubelet.corpus.worker", b"ray::NodeDriver"), 1):
        while corpus_chaos.parts(out) < number:
            assert driver.poll() is None, log.read_text()[-3000:]
            time.sleep(0.02)
        os.kill(corpus_chaos.workers_of(driver.pid, words)[0], signal.SIGKILL)
    assert driver.wait(600) == 1, log.read_text()[-3000:]
    summary = check(str(out), page=False)
    assert summary.ok, summary.problems
    local = tmp_path / "local"
    seconds = corpus_chaos.SECONDS
    run(model, lake, local, embed=True, logits=True, task_size=8, workers=0, seconds=seconds)
    planted = [row for row in corpus_chaos.rows_of(out) if "kills_its_decoder" in row["path"]]
    assert [row["status"] for row in planted] == ["crashed"]  # here the file is a good one

    def good(folder: Path) -> list[object]:
        return [row for row in corpus_chaos.rows_of(folder) if "kills_its_decoder" not in row["path"]]

    assert good(out) == good(local)
