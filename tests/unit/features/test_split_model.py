"""A model that is cut in two computes what the whole model computes."""

from __future__ import annotations

import pytest
import torch

from tubelet.config import ModelConfig
from tubelet.errors import ConfigError
from tubelet.features import AfterFeatures, Stage, features_of
from tubelet.features.split_model import as_video, feature_shape, from_video
from tubelet.model import ViViT


def tiny(variant: str) -> ViViT:
    config = ModelConfig(
        variant=variant,
        image_size=32,
        num_frames=8,
        tubelet_size=(2, 16, 16),
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        mlp_dim=16,
        num_classes=3,
        **({"temporal_layers": 1} if variant == "factorised_encoder" else {}),
    )
    return ViViT(config).eval()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("variant", "stage"),
    [("factorised_encoder", "spatial"), ("factorised_encoder", "encoder"), ("spatio_temporal", "encoder")],
)
def test_both_parts_give_the_logits_of_the_model(variant: str, stage: Stage, masked: bool) -> None:
    model = tiny(variant)
    video = torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 8, [True] * 4 + [False] * 4]) if masked else None
    with torch.no_grad():
        features, real = features_of(model, video, mask, stage)
        logits = AfterFeatures(model, stage)(as_video(features), real)
        assert torch.allclose(logits, model(video, mask), atol=1e-6)
    assert features.shape[1:] == feature_shape(model, stage)
    assert torch.equal(from_video(as_video(features)), features)


def test_only_the_factorised_encoder_has_a_vector_for_each_time() -> None:
    with pytest.raises(ConfigError, match="has no vector for each time"):
        AfterFeatures(tiny("spatio_temporal"), "spatial")
