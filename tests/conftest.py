"""What every test stands on: checked signatures, seeds, one thread, and the folder of real videos."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy
import pytest
import torch

from checked import check_signatures

CHECKOUT = Path(__file__).resolve().parents[1]
TYPED = ("data", "evaluation", "fast", "features", "model", "nn")
TYPED += ("prediction", "pretraining", "probing", "training", "video", "weights")

# Shapes and types of every signature are checked at run time in what holds tensors (configurations check themselves,
# and better). This must come before tubelet is imported. TUBELET_TYPECHECK=0 switches it off.
if os.environ.get("TUBELET_TYPECHECK", "1") != "0":
    there = {path.stem for path in (CHECKOUT / "src" / "tubelet").iterdir()}
    assert there.issuperset(TYPED), f"renamed, and no longer checked: {set(TYPED) - there}"
    check_signatures([f"tubelet.{name}" for name in TYPED])


def pytest_sessionstart() -> None:
    """One thread, which is as fast for tensors this small and leaves the cores to other sessions; the default width."""
    os.environ.pop("COLUMNS", None)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and reference vectors: TUBELET_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("TUBELET_SHARED", CHECKOUT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of real videos: name one in TUBELET_SHARED, or put `shared` beside the checkout")
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process holds is not waited for."""
    monkeypatch.setattr("tubelet.folder_lock.PATIENCE", 0.0)
