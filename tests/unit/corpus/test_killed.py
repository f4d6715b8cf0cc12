"""Whatever is killed, every video ends with the row that an undisturbed run gives it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

import corpus_chaos
from tubelet.corpus import check


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_workers_and_drivers_lose_nothing(tmp_path: Path) -> None:
    done = corpus_chaos.chaos(tmp_path, good=60, planted=(3, 2, 1), kills={"worker": 3, "driver": 1})
    assert done["kills"] == {"worker": 3, "driver": 1}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_lives_on_when_the_driver_ends(how: signal.Signals, model: Path, tmp_path: Path) -> None:
    lake = corpus_chaos.write_lake(tmp_path / "lake", 200, 0, 0, 0)
    out = tmp_path / "out"
    driver = corpus_chaos.start(model, lake, out, tmp_path / "log", "local")
    while not corpus_chaos.parts(out):
        assert driver.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    workers = corpus_chaos.workers_of(driver.pid)
    assert len(workers) == 2
    driver.send_signal(how)
    assert driver.wait(30) in (130, -signal.SIGKILL)
    until = time.monotonic() + 30
    while any(map(_runs, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(_runs, workers))
    problems = check(str(out), page=False).problems
    assert problems
    assert all(problem.endswith("is not there yet") for problem in problems)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
