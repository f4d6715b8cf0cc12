"""Processes of one machine; tests/integration/test_launch.py has signals and launchers that are killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tubelet.distributed.launch import launch
from tubelet.errors import ConfigError

CODE = """
import os, sys
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
open(sys.argv[1] + "/" + os.environ["RANK"], "w").write(" ".join(os.environ[name] for name in names))
sys.exit(int(sys.argv[2]) if os.environ["RANK"] == "1" else 0)
"""


@pytest.mark.parametrize("code", [0, 4])
def test_launch_numbers_the_processes_and_ends_as_they_do(tmp_path: Path, code: int) -> None:
    assert launch([sys.executable, "-c", CODE, str(tmp_path), str(code)], 2) == code
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "0": "0 2 0 2 127.0.0.1",
        "1": "1 2 1 2 127.0.0.1",
    }


def test_launch_names_the_process_that_a_signal_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import os, signal; os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL)"
    assert launch([sys.executable, "-c", code], 2) == 137
    assert "process 1 of 2 was ended by SIGKILL" in capsys.readouterr().err


def test_launch_of_no_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="devices=0 must be at least 1"):
        launch(["true"], 0)
