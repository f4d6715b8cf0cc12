"""A tiny model with sample clips, and exports of it, each made once in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from own_process import run
from tubelet.config import PreprocessingConfig
from tubelet.data import read_table
from tubelet.runs.samples import make_sample_clips


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos in three classes."""
    return tiny.write_bars(tmp_path_factory.mktemp("bars") / "bars")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, bars: Path) -> Path:
    """A model folder with sample clips; logits are far from each other."""
    torch.manual_seed(0)
    model = tubelet.create(tiny.PRESET, labels=["down", "left", "right"], **tiny.MODEL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.preprocessing = PreprocessingConfig(
        num_frames=4, frame_stride=1, resize=20, crop_size=(16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)
    )
    folder = tmp_path_factory.mktemp("trained") / "model"
    tubelet.save(model, folder)
    samples = make_sample_clips(model, read_table(bars))
    assert samples is not None
    samples.write(folder)
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Callable[[str], Path]:
    """The exported model of a format."""
    made: dict[str, Path] = {}

    def export(format: str) -> Path:
        if format not in made:
            made[format] = tmp_path_factory.mktemp("exported") / format
            run("-m", "tubelet", "export", trained, made[format], "--format", format)
        return made[format]

    return export
