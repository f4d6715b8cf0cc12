"""A tiny base configuration and some generated clips, so that a whole study takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import train_config
from tubelet.config import TrainConfig
from tubelet.data.generated import write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of each class to learn from, one to test on."""
    return write_clips(tmp_path_factory.mktemp("study") / "clips", {"train": 2, "test": 1}, seed=1)


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    """One epoch of two steps."""
    return train_config(
        {"hidden_size": 16, "num_layers": 1, "mlp_dim": 16},
        preprocessing={"sampling": "dense", "frame_stride": 1},
        coverage=(1.0, 1.0),
        cache="memory",
        cache_gigabytes=0.01,
        epochs=1,
        batch_size=8,
        keep="last",
    )
