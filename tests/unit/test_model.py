"""The interface that timm's users know, and inputs that do not fit."""

from __future__ import annotations

import pickle

import pytest
import torch
import torch.nn.functional as F

from contract.configurations import small
from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.presets import create, presets


def test_several_heads_give_a_dictionary_of_their_linear_layers() -> None:
    model, video = ViViT(small(num_classes={"verb": 4, "noun": 7})).eval(), torch.randn(2, 6, 3, 16, 24)
    logits = model(video)
    pooled = model.forward_head(model.forward_features(video), pre_logits=True)
    assert list(logits) == ["verb", "noun"]
    for (head, values), layer in zip(logits.items(), model.head.values(), strict=True):
        assert layer.out_features == model.config.heads[head]
        torch.testing.assert_close(values, layer(pooled), atol=1e-6, rtol=1e-5)


def test_features_and_head_are_the_forward_pass() -> None:
    model = ViViT(small("factorised_encoder")).eval()
    video = torch.randn(2, 6, 3, 16, 24)
    features = model.forward_features(video)
    torch.testing.assert_close(model.forward_head(features), model(video), atol=1e-6, rtol=1e-5)
    pooled = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(model.head(pooled), model(video), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.forward_pooled(video), pooled, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_self_attention"])
@torch.no_grad()
def test_weighted_pooling_is_a_depthwise_convolution_over_the_whole_grid(variant: str) -> None:
    model = ViViT(small(variant, pool="weighted")).double().eval()
    video = torch.randn(2, 6, 3, 16, 24).double()
    tokens = model.encoder.encode(model.embed(video))
    kernel = model.encoder.pool_weights.grid.movedim(-1, 0)[:, None] / 18
    expected = F.conv3d(tokens.mT.unflatten(2, (3, 2, 3)), kernel, groups=32).flatten(1)
    torch.testing.assert_close(model.forward_head(model.forward_features(video), pre_logits=True), expected)


@torch.no_grad()
def test_weighted_pooling_counts_no_frame_that_is_not_real() -> None:
    model = ViViT(small("factorised_encoder", pool="weighted", temporal_layers=2)).double().eval()
    mask = torch.tensor([[True] * 4 + [False] * 2])
    frames = model.encode_space(model.embed(torch.randn(1, 6, 3, 16, 24).double()))
    times = model.temporal_encoder.encode(frames[:, :, None, None], mask[:, ::2])
    weights = model.temporal_encoder.pool_weights.grid.flatten(0, 2)
    expected = model.classify((times * weights)[:, :2].mean(dim=1))
    torch.testing.assert_close(model.forward_times(frames, mask[:, ::2]), expected)


def test_reset_classifier_keeps_the_features() -> None:
    model = ViViT(small(), labels={"label": list("abcde")}).double().eval()
    video = torch.randn(2, 6, 3, 16, 24).double()
    before = model.forward_features(video)
    model.reset_classifier(2, labels={"label": ["yes", "no"]})
    assert torch.equal(model.forward_features(video), before)
    assert model(video).shape == (2, 2)
    assert model.config.num_classes == 2
    assert model.labels == {"label": ["yes", "no"]}
    model.reset_classifier(0)
    torch.testing.assert_close(model(video), model.forward_head(before, pre_logits=True), atol=1e-12, rtol=1e-10)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\{'label': 2\} names, but the model's heads have \{'label': 5\}"):
        ViViT(small(), labels={"label": ["a", "b"]})


def test_a_sample_without_a_real_frame_is_refused() -> None:
    mask = torch.tensor([[True] * 6, [False] * 6])
    with pytest.raises(ConfigError, match="marks every frame of a sample as not real"):
        ViViT(small())(torch.zeros(2, 6, 3, 16, 24), mask)


def test_create_takes_overrides_and_labels() -> None:
    model = create("vivit_tiny_16x2_fe", image_size=32, num_frames=4, labels=["left", "right"])
    assert model.config.image_size == (32, 32)
    assert model.config.num_classes == 2
    assert model.labels == {"label": ["left", "right"]}


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'vivit_base_16x2_fe'"):
        create("vivit_base_16x2fe")
    assert "vivit_huge_14x2_fdp" in presets()


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu", "gelu_quick"])
def test_a_model_survives_pickling(activation: str) -> None:
    model = ViViT(small(activation=activation)).eval()
    video = torch.randn(1, 6, 3, 16, 24)
    assert torch.equal(pickle.loads(pickle.dumps(model))(video), model(video))
