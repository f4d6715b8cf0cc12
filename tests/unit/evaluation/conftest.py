"""Small real videos that brighten, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from tubelet.config import PreprocessingConfig
from tubelet.evaluation import VideoPrediction
from tubelet.model import ViViT
from tubelet.video import write_video


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes a, b and c with three videos each, 12 to 20 frames of 24 x 32."""
    root = tmp_path_factory.mktemp("videos")
    generator = torch.Generator().manual_seed(0)
    for number, name in enumerate("abc"):
        (root / name).mkdir()
        for clip in range(3):
            frames = (torch.rand(12 + 4 * clip, 3, 24, 32, generator=generator) * 60 + 60 * number).to(torch.uint8)
            write_video(root / name / f"{clip}.mp4", frames, 10.0)
    return root


@pytest.fixture
def model() -> ViViT:
    """Three classes, four frames of 16 x 16, random weights."""
    model = tubelet.create(tiny.PRESET, labels=["a", "b", "c"], **tiny.MODEL)
    torch.nn.init.normal_(model.head.weight)
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=2, resize=20, crop_size=(16, 16))
    return model


@pytest.fixture
def drawn() -> Callable[..., list[VideoPrediction]]:
    """Makes predictions of five classes that are as often right as the logits say, before these are sharpened."""

    def draw(videos: int, seed: int, sharpness: float = 1.0, name: str = "v") -> list[VideoPrediction]:
        """Classes drawn with the probabilities that the logits say, then logits `sharpness` times as large."""
        generator = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(videos, 5, generator=generator, dtype=torch.float64)
        labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0].tolist()
        rows = (logits * sharpness).tolist()
        return [
            VideoPrediction(f"{name}{n}.mp4", {"label": label}, {"label": tuple(row)})
            for n, (label, row) in enumerate(zip(labels, rows, strict=True))
        ]

    return draw
