"""A process that brings one run of a study to its end: `python -m tubelet.studies.worker STUDY STATE PARENT`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from tubelet.studies.cell import run_task
from tubelet.studies.folder import StudyFolder, read_run
from tubelet.training import TrainingInterrupted

ORPHANED, STOPPED = 70, 143


def main(arguments: Sequence[str]) -> int:
    """Run it with one thread.

    Args:
        arguments: the study's folder, the run's state file, and the process that waits for it.
    """
    study, state, parent = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    try:
        run_task(StudyFolder(study), read_run(state))
    except TrainingInterrupted:
        return STOPPED
    return 0


def _end_with(parent: int) -> None:
    """End at once when the study's own process is gone: another may go on with its folder. Checkpoints are whole."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
