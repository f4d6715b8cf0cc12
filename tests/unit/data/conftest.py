"""Small real videos whose frames tell which they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tubelet.config import PreprocessingConfig
from tubelet.data import Sample, Table
from tubelet.video import write_video

FRAMES, HEIGHT, WIDTH = 20, 32, 48


def ramp(frames: int = FRAMES, offset: int = 20) -> torch.Tensor:
    """Uniform grey that rises by 10 with every frame."""
    values = torch.arange(frames) * 10 + offset
    return values.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, HEIGHT, WIDTH).contiguous()


def bright_left(frames: int = FRAMES) -> torch.Tensor:
    """The left half is white, the right half black."""
    video = torch.zeros(frames, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    video[..., : WIDTH // 2] = 255
    return video


def coloured(frames: int, seed: int) -> torch.Tensor:
    """Soft random colours that move."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, frames, 4, 6, generator=generator)
    video = torch.nn.functional.interpolate(coarse, (frames, HEIGHT, WIDTH), mode="trilinear")
    return (video[0].permute(1, 0, 2, 3) * 255).to(torch.uint8)


@pytest.fixture(scope="session")
def clips() -> dict[str, Callable[..., torch.Tensor]]:
    """Functions that draw videos, by name."""
    return {"ramp": ramp, "bright_left": bright_left, "coloured": coloured}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of three classes with four colourful videos each."""
    root = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(("clap", "jump", "wave")):
        (root / name).mkdir()
        for clip in range(4):
            write_video(root / name / f"{clip}.mp4", coloured(FRAMES + clip, 10 * number + clip), 10.0)
    return root


@pytest.fixture(scope="session")
def ramp_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame i of 20 is grey 20 + 10 i, at 10 frames per second."""
    return write_video(tmp_path_factory.mktemp("ramp") / "ramp.mp4", ramp(), 10.0, crf=0)


@pytest.fixture
def small() -> PreprocessingConfig:
    """Four frames at stride 2, 24 pixels high, crop 16."""
    return PreprocessingConfig(num_frames=4, frame_stride=2, resize=24, crop_size=(16, 16))


@pytest.fixture
def plain_table() -> Callable[..., Table]:
    """Makes a table without files: `plain_table({"a": 10, "b": 3})`."""

    def make(counts: dict[str, int], groups: Callable[[str, int], str | None] = lambda name, number: None) -> Table:
        names = sorted(counts)
        samples = tuple(
            Sample(f"/data/{name}/{number}.mp4", {"label": names.index(name)}, group=groups(name, number))
            for name in names
            for number in range(counts[name])
        )
        return Table(samples, {"label": names}, "/data")

    return make
