"""Token merging: exact where tokens are the same, fewer tokens where they are not, and nothing where it is off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.fast.merging import match, merge_tokens
from tubelet.model import ViViT

VARIANTS: list[dict[str, Any]] = [
    {"variant": "spatio_temporal"},
    {"variant": "spatio_temporal", "pool": "mean"},
    {"variant": "factorised_encoder"},
    {"variant": "factorised_encoder", "pool": "mean"},
    {"variant": "factorised_self_attention"},
    {"variant": "factorised_self_attention", "attention_order": "time_space"},
    {"variant": "factorised_dot_product"},
    {"variant": "factorised_dot_product", "pool": "max"},
]


def made(layers: int = 2, **changes: Any) -> ViViT:
    config = {
        "image_size": (16, 32),
        "num_frames": 4,
        "tubelet_size": (2, 4, 4),
        "hidden_size": 32,
        "num_layers": layers,
        "num_heads": 4,
        "mlp_dim": 32,
        "num_classes": 3,
        **changes,
    }
    model = ViViT(ModelConfig(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def logits_of(model: ViViT, video: Tensor, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        logits = model(video, mask)
    assert isinstance(logits, Tensor)
    return logits


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(changes.values()))
def test_tokens_that_are_the_same_are_merged_without_a_trace(changes: dict[str, Any]) -> None:
    """Four neighbours show one pattern: after two blocks a quarter of the tokens is left, each counting fourfold."""
    model = made(**changes)
    for name, parameter in model.named_parameters():
        if name.endswith("positions.grid"):
            torch.nn.init.zeros_(parameter)
    video = torch.randn(2, 4, 3, 16, 2, 1, 4).expand(-1, -1, -1, -1, -1, 4, -1).flatten(4)
    counts: list[int] = []
    merged = merge_tokens(model, 0.5)
    blocks = (merged.spatial_encoder if "encoder" in changes["variant"] else merged.encoder).blocks
    for block in blocks:
        block.norm_mlp.register_forward_pre_hook(lambda _, args: counts.append(args[0].shape[-2]))
    assert torch.allclose(logits_of(merged, video), logits_of(model, video), atol=1e-5)
    whole = model.config.num_tokens if changes["variant"] == "spatio_temporal" else 32
    cls = model.config.pool == "cls"
    assert counts[:2] == [whole // 2 + cls, whole // 4 + cls]


@pytest.mark.parametrize("changes", VARIANTS[::2], ids=lambda changes: "-".join(changes.values()))
def test_off_is_off_and_training_does_not_merge(changes: dict[str, Any]) -> None:
    model, video = made(**changes), torch.randn(2, 4, 3, 16, 32)
    assert merge_tokens(model, 0.0) is model
    merged = merge_tokens(model, 0.2)
    assert not torch.allclose(logits_of(merged, video), logits_of(model, video), atol=1e-4)
    assert torch.equal(logits_of(merged.train(), video), logits_of(model, video))


@pytest.mark.parametrize("changes", VARIANTS[::2], ids=lambda changes: "-".join(changes.values()))
def test_frames_that_are_not_real_stay_without_effect(changes: dict[str, Any]) -> None:
    merged, video = merge_tokens(made(**changes), 0.1), torch.randn(1, 4, 3, 16, 32)
    mask = torch.tensor([[True, True, False, False]])
    other = video.clone()
    other[:, 2:] = 100.0
    assert torch.allclose(logits_of(merged, video, mask), logits_of(merged, other, mask), atol=1e-6)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    merged, video = merge_tokens(made(), 0.1), torch.randn(3, 4, 3, 16, 32)
    assert torch.allclose(logits_of(merged, video)[1], logits_of(merged, video[1:2])[0], atol=1e-5)


def test_the_most_similar_are_matched_and_masked_ones_never() -> None:
    keys = torch.tensor([[[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.5, 1.0]]])  # the first is protected
    into, kept = match(keys, 1, protected=1)
    assert (into[0].tolist(), kept) == ([0, 1, 2, 3, 3], 4)
    real = torch.tensor([[True, True, True, False, True]])
    into, _ = match(keys, 1, protected=1, mask=real)
    assert into[0].tolist() == [0, 3, 1, 2, 3]


def test_parameters_are_shared_and_evaluation_takes_it(tmp_path: Any) -> None:
    model = made()
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 32))
    merged = merge_tokens(model, 0.2)
    assert merged.state_dict().keys() == model.state_dict().keys()
    assert all(a is b for a, b in zip(model.parameters(), merged.parameters(), strict=True))
    frames = torch.randint(0, 255, (4, 3, 16, 32), dtype=torch.uint8)
    said = tubelet.predict(merged, frames)
    assert not isinstance(said, list)
    expected = logits_of(merged, frames[None].float() / 127.5 - 1)
    assert torch.allclose(said.logits.float(), expected[0], atol=1e-5)


def test_a_merged_model_has_a_mode_of_its_own_and_is_not_moved() -> None:
    """Moving it would convert the parameters of the model, which it shares, and leave the model's buffers."""
    model = made().train()
    merged = merge_tokens(model, 0.2).eval()
    assert all(module.training for module in model.modules())
    assert merged.to("cpu") is merged
    with pytest.raises(ConfigError, match=r"model\.to"):
        merged.to(torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_nothing_is_merged_of_a_model_that_pools_its_first_token_unless_that_is_asked_for() -> None:
    model = made(pool="first")
    assert merge_tokens(model, 0.0) is model


def test_what_cannot_be_merged_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"share=0\.6"):
        merge_tokens(made(), 0.6)
    with pytest.raises(ConfigError, match="first token alone"):
        merge_tokens(made(pool="first"), 0.1)
