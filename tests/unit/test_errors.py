"""The errors that users see: this session checks signatures at run time, which would catch wrong input first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_users_get_errors_of_tubelet() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "errors"],
        cwd=TESTS,
        env={**os.environ, "TUBELET_TYPECHECK": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
