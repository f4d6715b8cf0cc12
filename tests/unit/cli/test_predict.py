"""`tubelet predict` computes with the optimised model, and merges tokens where it is asked to alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from tubelet.cli.main import main
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.fast import OptimisedViViT
from tubelet.model import ViViT
from tubelet.prediction import predictor


@pytest.mark.parametrize("pool", ["cls", "first"])
def test_predict_computes_with_the_optimised_model(
    pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that pools its first token cannot merge tokens, which was once asked of every model, of a share of 0."""
    config = ModelConfig(
        image_size=16, num_frames=4, tubelet_size=(2, 8, 8), hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=2, pool=pool,
    )  # fmt: skip
    preprocessing = PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))
    tubelet.save(ViViT(config, preprocessing, {"label": ["a", "b"]}), tmp_path / "model")
    tubelet.write_video(tmp_path / "clip.mp4", torch.zeros(4, 3, 16, 16, dtype=torch.uint8), 10)
    models: list[type] = []
    compute = predictor.predict_views

    def watched(model: ViViT, *args: Any, **options: Any) -> Any:
        models.append(type(model))
        return compute(model, *args, **options)

    monkeypatch.setattr(predictor, "predict_views", watched)
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "clip.mp4")]) == 0
    assert models == [OptimisedViViT]
    assert "clip.mp4" in capsys.readouterr().out
