"""Tiny models, configurations and videos, which are made, trained and read in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tubelet
from tubelet.config import (
    AugmentationConfig,
    DataConfig,
    MaskingConfig,
    OptimisationConfig,
    PreprocessingConfig,
    PretrainConfig,
    RuntimeConfig,
    TrainConfig,
    override,
)
from tubelet.model import ViViT
from tubelet.video import write_video

PRESET = "vivit_tiny_16x2_fe"

MODEL: dict[str, Any] = {
    "num_frames": 4,
    "image_size": 16,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 48,
    "temporal_layers": 1,
}
"""Fields of model 2: 2 x 2 x 2 tokens of width 24."""


def train_config(model: Mapping[str, Any] | None = None, **fields: Any) -> TrainConfig:
    """Two epochs in batches of three on the CPU, from the defaults: a recipe may change.

    Args:
        model: fields of the model on top of `MODEL`.
        fields: of the configuration, as `override` takes them.
    """
    config = TrainConfig(
        preset=PRESET,
        model={**MODEL, **(model or {})},
        preprocessing={"resize": 20, "sampling": "uniform"},
        data=DataConfig(workers=0),
        augmentation=AugmentationConfig(coverage=(0.7, 1.0), flip=0.0),
        optimisation=OptimisationConfig(epochs=2, warmup_epochs=0.5, batch_size=3, learning_rate=1e-3),
        runtime=RuntimeConfig(device="cpu"),
    )
    return override(config, **fields)


def pretrain_config(**fields: Any) -> PretrainConfig:
    """Two epochs in batches of three on the CPU, on frames of 24 x 24."""
    config = PretrainConfig(
        preset=PRESET,
        model={**MODEL, "image_size": 24},
        preprocessing={"resize": 26, "sampling": "uniform"},
        data=DataConfig(workers=0),
        augmentation=AugmentationConfig(coverage=(0.7, 1.0), colour=0.0, grey=0.0),
        optimisation=OptimisationConfig(epochs=2, warmup_epochs=0.5, batch_size=3, learning_rate=1e-3),
        masking=MaskingConfig(mask_ratio=0.7, time_mask_ratio=0.5, decoder_layers=1, decoder_heads=2),
        runtime=RuntimeConfig(device="cpu"),
    )
    return override(config, **fields)


def moving_bar(direction: str, clip: int, size: int = 24) -> Tensor:
    """A white bar that crosses `size` x `size` pixels in 8 frames; each clip begins somewhere else."""
    video = torch.full((8, 3, size, size), 30, dtype=torch.uint8)
    for number in range(8):
        first = (3 * (number if direction in ("down", "right") else -number) + 5 * clip) % size
        axis = 1 if direction in ("down", "up") else 2
        video[number].narrow(axis, first, min(4, size - first)).fill_(230)
    return video


def write_bars(folder: Path, directions: Sequence[str] = ("down", "left", "right"), clips: int = 4) -> Path:
    """Videos of bars in a folder for each direction."""
    for direction in directions:
        (folder / direction).mkdir(parents=True)
        for clip in range(clips):
            write_video(folder / direction / f"{clip}.mp4", moving_bar(direction, clip), 10.0)
    return folder


def write_noise(folder: Path, classes: Mapping[str, int], size: int = 24, frames: int = 10, seed: int = 1) -> Path:
    """So many videos of noise in a folder for each class."""
    generator = torch.Generator().manual_seed(seed)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for clip in range(count):
            noise = torch.randint(0, 256, (frames, 3, size, size), generator=generator, dtype=torch.uint8)
            write_video(folder / name / f"{clip}.mp4", noise, 10.0)
    return folder


def day_and_night(frames_per_second: float | None = None) -> ViViT:
    """A model that calls bright windows `day` and dark ones `night`, of 4 frames of 16 x 16."""
    sizes = {**MODEL, "hidden_size": 16, "num_layers": 1, "mlp_dim": 16, "temporal_layers": 0}
    model = tubelet.create(PRESET, labels=["day", "night"], **sizes, pool="mean", output_norm="after_pool")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight[0].fill_(1.0)
        model.embedding.weight[1].fill_(-1.0)
        model.spatial_encoder.norm.weight.fill_(1.0)
        model.head.weight[0, 0], model.head.weight[1, 1] = 5.0, 5.0
    model.preprocessing = PreprocessingConfig(
        num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16), frames_per_second=frames_per_second
    )
    return model


def write_evening(root: Path) -> Tensor:
    """`day_and_night` as `root/model`, and `evening.mp4`, a second bright and a second dark; its frames."""
    tubelet.save(day_and_night(), root / "model")
    frames = torch.full((20, 3, 16, 16), 250, dtype=torch.uint8)
    frames[10:] = 5
    write_video(root / "evening.mp4", frames, 10.0)
    return frames
