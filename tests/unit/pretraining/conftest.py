"""Tiny videos of a moving bar, without labels, and a tiny pretraining."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import moving_bar, pretrain_config
from tubelet.config import PretrainConfig
from tubelet.video import write_video


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight videos."""
    root = tmp_path_factory.mktemp("bars")
    for clip in range(8):
        write_video(root / f"{clip}.mp4", moving_bar(("down", "right")[clip % 2], clip, size=28), 10.0)
    return root


@pytest.fixture
def tiny() -> PretrainConfig:
    """Two epochs of three steps."""
    return pretrain_config(cache="memory", cache_gigabytes=0.01)
