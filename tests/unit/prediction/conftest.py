"""A tiny model with preprocessing and labels, and a few real videos."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.model import ViViT

CLASSES = ["run", "walk", "sit"]


@pytest.fixture
def config() -> ModelConfig:
    return ModelConfig(
        variant="factorised_encoder",
        image_size=32,
        num_frames=4,
        tubelet_size=(2, 16, 16),
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        mlp_dim=16,
        temporal_layers=1,
        num_classes=3,
    )


@pytest.fixture
def preprocessing() -> PreprocessingConfig:
    return PreprocessingConfig(num_frames=4, frame_stride=2, resize=32, crop_size=(32, 32))


@pytest.fixture
def model(config: ModelConfig, preprocessing: PreprocessingConfig) -> ViViT:
    made = ViViT(config, preprocessing, {"label": CLASSES})
    with torch.no_grad():
        made.head.weight.mul_(50)  # so that predictions differ
    return made


def frames_of(number: int, count: int = 12, height: int = 40, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return (torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") * 255).to(torch.uint8)


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Three videos, in `clips/` and `clips/more/`."""
    (tmp_path / "clips" / "more").mkdir(parents=True)
    names = ["clips/a.mp4", "clips/b.mp4", "clips/more/c.mp4"]
    return [tubelet.write_video(tmp_path / name, frames_of(number)) for number, name in enumerate(names)]
