"""Python in a process of its own: the run-time checks of signatures that the test session has are not traceable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run python with these words, without run-time checks of signatures."""
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0 or not check, done.stderr[-3000:]
    return done
