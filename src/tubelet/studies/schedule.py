"""In which order and how many at a time the runs of a study go; stopping it loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tubelet.studies.cell import run_task
from tubelet.studies.folder import Outcome, Run, StudyFolder, read_outcome, write_state
from tubelet.studies.study import Cell, Source
from tubelet.training import Reporter, TrainingInterrupted
from tubelet.training.interrupt import StopRequest

POLL_SECONDS = 0.2

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""What the processes import is what this one has."""

OnEnd = Callable[[Run, Outcome], None]
"""Called for every run that ended."""


def run_all(
    folder: StudyFolder, runs: Sequence[Run], jobs: int, on_end: OnEnd, reporter: Reporter | None = None
) -> None:
    """Bring runs to their end; those that a failed source was to start from fail with it.

    Args:
        folder: of the study.
        runs: sources before the cells that need them.
        jobs: how many at a time. One runs in this process; more run in processes of their own, with one thread each.
        on_end: called for each.
        reporter: of the training, if there is one at a time.

    Raises:
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP came; every run has written a checkpoint.
    """
    if jobs > 1:
        _in_processes(folder, list(runs), jobs, on_end)
        return
    for run in runs:
        state = _source_state(folder, run)
        if state is not None and state.status != "done":
            on_end(run, _fail(run, _without_source(run, state)))
        else:
            on_end(run, run_task(folder, run, reporter))


def _in_processes(folder: StudyFolder, waiting: list[Run], jobs: int, on_end: OnEnd) -> None:
    running: dict[subprocess.Popen[bytes], Run] = {}
    with StopRequest() as stop:
        try:
            while (waiting or running) and not stop:
                while len(running) < jobs and (run := _next(folder, waiting, on_end)) is not None:
                    running[_start(folder, run)] = run
                time.sleep(POLL_SECONDS)
                for process in [process for process in running if process.poll() is not None]:
                    run = running.pop(process)
                    on_end(run, _ended(run, process.returncode))
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
        if stop:
            raise TrainingInterrupted("stopped", stop.signal_number or 0)


def _next(folder: StudyFolder, waiting: list[Run], on_end: OnEnd) -> Run | None:
    """The first run that can begin, taken out of the list; those whose source failed are dealt with on the way."""
    for run in list(waiting):
        state = _source_state(folder, run)
        if state is not None and state.status == "waiting":
            continue
        waiting.remove(run)
        if state is None or state.status == "done":
            return run
        on_end(run, _fail(run, _without_source(run, state)))
    return None


def _start(folder: StudyFolder, run: Run) -> subprocess.Popen[bytes]:
    write_state(run, Outcome("waiting"))
    paths = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tubelet.studies.worker", str(folder.path), str(run.state), str(os.getpid())]
    log = run.state.with_suffix(".log")
    with log.open("ab") as file:
        # In a session of its own, so that Ctrl-C comes here alone and is passed on once.
        return subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )


def _ended(run: Run, code: int) -> Outcome:
    """What a process that has ended wrote down; if nothing, what it ended with."""
    outcome = read_outcome(run)
    if outcome.status != "waiting":
        return outcome
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return _fail(run, f"its process {how}; {run.state.with_suffix('.log')} may say why")


def _fail(run: Run, error: str) -> Outcome:
    outcome = Outcome("failed", error)
    write_state(run, outcome)
    return outcome


def _source_state(folder: StudyFolder, run: Run) -> Outcome | None:
    """What came out of the source that a run starts from; None if it needs none."""
    task = run.task
    if isinstance(task, Source) or task.needs is None:
        return None
    return read_outcome(Run(task, run.seed, folder.cells / task.needs / run.folder.name))


def _without_source(run: Run, state: Outcome) -> str:
    assert isinstance(run.task, Cell)
    return f"{run.task.needs}, which it starts from, failed: {state.error}"
