"""Tiny videos of a moving bar, without labels, and a tiny pretraining."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.config import (
    AugmentationConfig,
    DataConfig,
    MaskingConfig,
    OptimisationConfig,
    PretrainConfig,
    RuntimeConfig,
)
from tubelet.video import write_video

TINY_MODEL: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 24,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 48,
    "temporal_layers": 1,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def moving_bar(down: bool, clip: int) -> torch.Tensor:
    """A white bar that crosses 28 x 28 pixels in 8 frames; each clip begins somewhere else."""
    video = torch.full((8, 3, 28, 28), 30, dtype=torch.uint8)
    for number in range(8):
        place = (3 * number + 5 * clip) % 28
        video[number].narrow(1 if down else 2, place, min(4, 28 - place)).fill_(230)
    return video


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight videos."""
    root = tmp_path_factory.mktemp("bars")
    for clip in range(8):
        write_video(root / f"{clip}.mp4", moving_bar(clip % 2 == 0, clip), 10.0)
    return root


@pytest.fixture
def tiny() -> PretrainConfig:
    """Two epochs of three steps. No recipe is part of it: they may change."""
    return PretrainConfig(
        preset="vivit_tiny_16x2_fe",
        model=TINY_MODEL,
        preprocessing={"resize": 26, "sampling": "uniform"},
        data=DataConfig(workers=0, cache="memory", cache_gigabytes=0.01),
        augmentation=AugmentationConfig(coverage=(0.7, 1.0), colour=0.0, grey=0.0),
        optimisation=OptimisationConfig(epochs=2, warmup_epochs=0.5, batch_size=3, learning_rate=1e-3),
        masking=MaskingConfig(mask_ratio=0.7, hide_times=0.5, decoder_layers=1, decoder_heads=2),
        runtime=RuntimeConfig(device="cpu"),
    )
