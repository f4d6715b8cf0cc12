"""A tiny base configuration and some generated clips, so that a whole study takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.config import (
    AugmentationConfig,
    DataConfig,
    OptimisationConfig,
    RuntimeConfig,
    TrainConfig,
    ValidationConfig,
)
from tubelet.data.generated import write_clips

TINY: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 16,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 16,
    "temporal_layers": 1,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of each class to learn from, one to test on."""
    return write_clips(tmp_path_factory.mktemp("study") / "clips", {"train": 2, "test": 1}, seed=1)


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    """One epoch of two steps."""
    return TrainConfig(
        preset="vivit_tiny_16x2_fe",
        augmentation=AugmentationConfig(flip=0.0),
        model=TINY,
        preprocessing={"resize": 20, "frame_stride": 1},
        data=DataConfig(workers=0, cache="memory", cache_gigabytes=0.01),
        optimisation=OptimisationConfig(epochs=1, warmup_epochs=0.5, batch_size=8, learning_rate=1e-3),
        validation=ValidationConfig(keep="last"),
        runtime=RuntimeConfig(device="cpu"),
    )
