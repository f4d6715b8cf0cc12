"""A run of a tiny model on dark and bright videos, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.config import DataConfig, OptimisationConfig, RuntimeConfig, TrainConfig
from tubelet.runs import RunResult
from tubelet.training import SilentReporter

CONFIG = TrainConfig(
    preset="vivit_tiny_16x2_fe",
    model={
        "num_frames": 4,
        "image_size": 16,
        "tubelet_size": (2, 8, 8),
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "mlp_dim": 16,
        "temporal_layers": 1,
    },
    preprocessing={"frame_stride": 1, "resize": 16, "short_clips": "mask"},
    data=DataConfig(workers=0),
    optimisation=OptimisationConfig(epochs=1, warmup_epochs=0, batch_size=4, learning_rate=3e-3),
    runtime=RuntimeConfig(device="cpu"),
)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train` and `val` of dark and bright videos; one of six is shorter than a clip."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 3), ("val", 3)):
        for label, level in (("dark", 30), ("bright", 200)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(0, 40, (2 if number == 2 else 6, 3, 18, 20), generator=generator)
                tubelet.write_video(folder / split / label / f"{number}.mp4", (noise + level).to(torch.uint8))
    return folder


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    return CONFIG


@pytest.fixture(scope="session")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """What `tubelet.train` gives."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return tubelet.train(clips, out, config=CONFIG, reporter=SilentReporter())


@pytest.fixture(scope="session")
def run(trained: RunResult) -> Path:
    return trained.folder
