"""Tiny videos whose class is the direction in which a bar moves, and a tiny training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import train_config, write_bars
from tubelet.config import TrainConfig


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `down`, `left` and `right`, four clips each."""
    return write_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    """Two epochs of three steps, with everything random switched on."""
    return train_config(
        {"drop_path": 0.1, "dropout": 0.1},
        cache="memory",
        cache_gigabytes=0.01,
        colour=0.5,
        mixup=0.2,
        label_smoothing=0.1,
    )
