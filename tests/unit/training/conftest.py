"""Tiny videos whose class is the direction in which a bar moves, and a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.config import AugmentationConfig, DataConfig, OptimisationConfig, RuntimeConfig, TrainConfig
from tubelet.video import write_video

TINY_MODEL: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 16,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 48,
    "temporal_layers": 1,
    "drop_path": 0.1,
    "dropout": 0.1,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def moving_bar(direction: str, clip: int) -> torch.Tensor:
    """A white bar that crosses 24 x 24 pixels in 8 frames; each clip begins somewhere else."""
    video = torch.full((8, 3, 24, 24), 30, dtype=torch.uint8)
    for number in range(8):
        place = (3 * (number if direction in ("down", "right") else -number) + 5 * clip) % 24
        axis = 2 if direction in ("down", "up") else 3
        video[number].narrow(axis - 1, place, min(4, 24 - place)).fill_(230)
    return video


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `down`, `left` and `right`, four clips each."""
    root = tmp_path_factory.mktemp("bars")
    for direction in ("down", "left", "right"):
        (root / direction).mkdir()
        for clip in range(4):
            write_video(root / direction / f"{clip}.mp4", moving_bar(direction, clip), 10.0)
    return root


@pytest.fixture
def tiny() -> TrainConfig:
    """Two epochs of three steps, with everything random switched on. No recipe is part of it: they may change."""
    return TrainConfig(
        preset="vivit_tiny_16x2_fe",
        model=TINY_MODEL,
        preprocessing={"resize": 20, "sampling": "uniform"},
        data=DataConfig(workers=0, cache="memory", cache_gigabytes=0.01),
        augmentation=AugmentationConfig(coverage=(0.7, 1.0), flip=0.0, colour=0.5, mixup=0.2, label_smoothing=0.1),
        optimisation=OptimisationConfig(epochs=2, warmup_epochs=0.5, batch_size=3, learning_rate=1e-3),
        runtime=RuntimeConfig(device="cpu"),
    )
