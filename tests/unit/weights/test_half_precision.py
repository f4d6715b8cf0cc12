"""Folders in half precision or double: what they hold is predicted with, and is what float32 gives of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from tubelet import PreprocessingConfig
from tubelet.config import TrainConfig
from tubelet.data import Sample, Table
from tubelet.training.model import build_model
from unit.weights.kinds import KINDS, tiny

FRAMES = torch.randint(0, 255, (8, 3, 24, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("format", ["native", "transformers"])
def test_a_folder_in_half_precision_predicts_as_in_single(format: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny(image_size=(16, 16))
    model.preprocessing = PreprocessingConfig(num_frames=4, resize=20, crop_size=(16, 16))
    tubelet.convert(model.to(dtype), tmp_path, format=format)
    loaded = tubelet.load(tmp_path)
    assert loaded.head.weight.dtype == dtype
    half = tubelet.predict(loaded, FRAMES)
    single = tubelet.predict(loaded.float(), FRAMES)
    torch.testing.assert_close(half.logits.double(), single.logits, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_precision_takes_pixels_in_single(kind: str, dtype: torch.dtype) -> None:
    model = tiny(**KINDS[kind])
    video = torch.randn(1, model.config.num_frames, 3, *model.config.image_size)
    expected = model(video)
    got = model.to(dtype)(video)
    for name in expected if isinstance(expected, dict) else (None,):
        one, other = (logits if name is None else logits[name] for logits in (expected, got))
        assert other.dtype == dtype
        torch.testing.assert_close(other.double(), one.double(), atol=0.05, rtol=0.05)


def test_training_from_a_folder_in_half_precision_is_in_single(tmp_path: Path) -> None:
    """A step of 1e-5 on a weight of 1 would be rounded away."""
    start = tiny(image_size=(16, 16)).bfloat16()
    start.preprocessing = PreprocessingConfig(num_frames=4, resize=20, crop_size=(16, 16))
    tubelet.save(start, tmp_path / "start")
    table = Table((Sample(path="a.mp4", labels={"label": 0}),), {"label": ["a", "b"]}, root=str(tmp_path))
    model, notes = build_model(TrainConfig(init=str(tmp_path / "start")), table)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.embedding.weight, start.embedding.weight.float())
    assert "weights in bfloat16, trained in float32" in notes
