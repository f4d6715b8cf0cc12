"""An image model of ours as the `.npz` of an image ViT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.config import ModelConfig
from tubelet.errors import WeightsError
from tubelet.model import ViViT
from tubelet.weights import initialise
from tubelet.weights.image_vit_save import save_image_vit

SIZES: dict[str, Any] = {
    "image_size": 16,
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 3,
    "mlp_dim": 48,
    "num_classes": 0,
}


def image_model(pool: str) -> ViViT:
    torch.manual_seed(0)
    config = ModelConfig(embedding="uniform_frames", num_frames=1, tubelet_size=(1, 8, 8), pool=pool, **SIZES)
    model = ViViT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_video_model_of_one_frame_started_from_the_file_is_the_image_model(pool: str, tmp_path: Path) -> None:
    model = image_model(pool)
    file = save_image_vit(model, tmp_path / "vit.npz")
    other = ViViT(model.config).eval()
    report = initialise(other, file)
    assert not report.counts().get("new")
    video = torch.randn(2, 1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(other.forward_features(video), model.forward_features(video), rtol=0, atol=1e-6)


def test_a_random_start_leaves_the_attention_over_time_and_nothing_else(tmp_path: Path) -> None:
    file = save_image_vit(image_model("mean"), tmp_path / "vit.npz")
    config = ModelConfig(variant="factorised_self_attention", num_frames=4, tubelet_size=(2, 8, 8), **SIZES)
    torch.manual_seed(1)
    model = ViViT(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialise(model, file, behaviour="random")
    for name, tensor in model.state_dict().items():
        is_time = ".time." in name or ".norm_time." in name
        assert torch.equal(tensor, before[name]) == is_time, name


def test_what_is_no_image_model_is_refused(tmp_path: Path) -> None:
    model = ViViT(ModelConfig(num_frames=4, tubelet_size=(2, 8, 8), **SIZES))
    with pytest.raises(WeightsError, match="num_frames=4 is no image model"):
        save_image_vit(model, tmp_path / "vit.npz")
