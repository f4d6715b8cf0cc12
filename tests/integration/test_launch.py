"""The processes of `--devices`: how they end, and what torch's own launcher does there instead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tubelet

pytestmark = pytest.mark.timeout(300)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(tubelet.__file__).parents[1]), "OMP_NUM_THREADS": "1"}

WORKER = """
import os, signal, sys, time
from pathlib import Path
from tubelet.distributed.launch import hold_on_to_launcher
hold_on_to_launcher()
folder, rank = Path(sys.argv[1]), os.environ["RANK"]
def stop(number, frame):
    time.sleep(float(sys.argv[2]))  # a checkpoint that takes its time
    (folder / f"saved{rank}").touch()
    os._exit(128 + number)
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), stop)
(folder / f"pid{rank}").write_text(str(os.getpid()))
(folder / f"pid{rank}").rename(folder / f"started{rank}")
if sys.argv[3] == rank:
    sys.exit(3)
time.sleep(120)
"""

OURS = (
    "import sys; from tubelet.distributed import launch; launch.PATIENCE = 1; sys.exit(launch.launch(sys.argv[1:], 2))"
)


def start(folder: Path, seconds: float = 0.0, fails: str = "-", *, torchs: bool = False) -> subprocess.Popen[bytes]:
    """Two workers, which take `seconds` to stop; the one of rank `fails` ends with exit code 3."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    words = [str(script), str(folder), str(seconds), fails]
    if torchs:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    else:
        command = [sys.executable, "-c", OURS, sys.executable, *words]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    while fails == "-" and len(list(folder.glob("started*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def pids(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("started*")]


def running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def all_gone(folder: Path, within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while any(map(running, pids(folder))):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_launch_signal_reaches_every_process_and_is_the_exit_code(tmp_path: Path, name: str) -> None:
    process = start(tmp_path)
    process.send_signal(getattr(signal, name))
    assert process.wait(60) == 128 + getattr(signal, name)
    assert len(list(tmp_path.glob("saved*"))) == 2


def test_launch_failure_ends_the_others_and_is_the_exit_code(tmp_path: Path) -> None:
    process = start(tmp_path, fails="1")
    assert process.wait(60) == 3
    assert all_gone(tmp_path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_launch_killed_launcher_ends_every_process(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.kill()
    process.wait(60)
    assert all_gone(tmp_path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_torchs_launcher_that_is_killed_leaves_its_processes_behind(tmp_path: Path) -> None:
    """One reason for a launcher of our own: they would hold the GPUs and the lock on the run."""
    process = start(tmp_path, torchs=True)
    process.kill()
    process.wait(60)
    try:
        assert not all_gone(tmp_path, within=3.0)
    finally:
        for pid in filter(running, pids(tmp_path)):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_launch_waits_for_a_long_checkpoint_and_torchs_launcher_does_not(tmp_path: Path) -> None:
    """The other reason: torch's kills after 30 seconds, which its releases before 2.10 cannot be told to change."""
    for name, torchs in (("ours", False), ("torchs", True)):
        (tmp_path / name).mkdir()
        process = start(tmp_path / name, seconds=40.0, torchs=torchs)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        assert len(list((tmp_path / name).glob("saved*"))) == (0 if torchs else 2)
