"""What is given wrongly here reaches the package as a user's call does: no signature is checked at run time.

`tests/unit/test_errors.py` runs this folder; so does `TUBELET_TYPECHECK=0 pytest tests/errors`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tiny
from tubelet.model import ViViT

collect_ignore_glob = [] if os.environ.get("TUBELET_TYPECHECK") == "0" else ["test_*.py"]


@pytest.fixture(scope="module")
def model() -> ViViT:
    return tiny.day_and_night().eval()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bars(tmp_path_factory.mktemp("data") / "clips", ("down", "left"), 2)
