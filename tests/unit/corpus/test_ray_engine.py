"""A Ray cluster writes the rows that this machine writes, also while its workers and actors are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import corpus_chaos
from tubelet.corpus import check, run
from tubelet.errors import ConfigError
from two_nodes import TwoNodes


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    """One node with a core and one with two."""
    for name, value in corpus_chaos.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with TwoNodes(1, 2) as made:
        monkeypatch.setenv("RAY_ADDRESS", made.address)
        yield made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lost_node_and_a_killed_driver_cost_nothing(cluster: TwoNodes, tmp_path: Path) -> None:
    kills = {"node": 1, "driver": 1, "worker": 1}
    assert corpus_chaos.chaos(tmp_path, 120, (2, 1, 1), kills, cluster)["kills"] == kills


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_decoders_on_another_node_give_the_same_rows_though_that_node_is_lost(
    cluster: TwoNodes, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="3 workers, and the Ray cluster has 0 left of 3"):
        run(
            model,
            corpus_chaos.write_lake(tmp_path / "few", 3, 0, 0, 0),
            tmp_path / "none",
            engine="ray",
            decode="apart",
            task_size=1,
        )
    lake, out, log = corpus_chaos.write_lake(tmp_path / "lake", 90, 2, 1, 0), tmp_path / "ray", tmp_path / "log"
    driver = corpus_chaos.start(model, lake, out, log, "ray", "--workers", "1", "--decode", "apart")
    while not corpus_chaos.parts(out):
        assert driver.poll() is None, log.read_text()[-3000:]
        time.sleep(0.02)
    cluster.lose()
    assert driver.wait(600) == 1, log.read_text()[-3000:]
    assert check(str(out), page=False).ok
    again = tmp_path / "here"
    assert corpus_chaos.start(model, lake, again, log, "local").wait(300) == 1
    assert corpus_chaos.rows_of(out) == corpus_chaos.rows_of(again)


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
