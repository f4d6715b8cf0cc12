"""What makes a training from scratch learn at once: small residual branches, motion, and a norm before the heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from contract.configurations import VARIANTS, small
from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.training.ema import WeightAverage
from tubelet.weights import adapt
from tubelet.weights.fold import fold_head_norm


def trained(**fields: object) -> ViViT:
    """A model whose norm before the heads has seen some batches, in evaluation mode."""
    model = ViViT(small(head_norm="batch", **fields)).train()
    with torch.no_grad():
        for _ in range(20):
            model(1 + 0.3 * torch.randn(6, 6, 3, 16, 24))
    return model.eval()


@torch.no_grad()
def test_a_checkpoint_of_bare_tensors_has_all_that_a_model_with_norms_needs() -> None:
    model = trained(embedding="conv_stem", tubelet_size=(2, 8, 8))
    fresh = ViViT(model.config).eval()
    fresh.load_state_dict(dict(model.state_dict()))  # as safetensors gives them: without torch's version numbers
    video = torch.randn(2, 6, 3, 16, 24)
    assert torch.equal(fresh(video), model(video))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("classes", [5, {"verb": 3, "noun": 4}])
@torch.no_grad()
def test_the_head_norm_is_taken_into_the_heads_exactly(variant: str, classes: int | dict[str, int]) -> None:
    model = trained(variant=variant, num_classes=classes)
    folded, video = fold_head_norm(model), torch.randn(2, 6, 3, 16, 24)
    assert folded.config.head_norm == "none"
    assert not any("head_norm" in name for name in folded.state_dict())
    torch.testing.assert_close(folded(video), model(video), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(adapt(model, head_norm="none")(video), model(video), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_model_with_a_head_norm_goes_to_other_formats(tmp_path: Path) -> None:
    model, video = trained(image_size=(16, 16), tubelet_size=(2, 8, 8)), torch.randn(2, 6, 3, 16, 16)
    tubelet.convert(model, tmp_path / "theirs", format="transformers")
    torch.testing.assert_close(tubelet.load(tmp_path / "theirs")(video), model(video), atol=1e-5, rtol=1e-5)
    tubelet.convert(model, tmp_path / "original", format="scenic")
    loaded = tubelet.load(tmp_path / "original", image_size=16, num_frames=6)
    torch.testing.assert_close(loaded(video), model(video), atol=1e-5, rtol=1e-5)
    assert model.config.head_norm == "batch", "the model itself was changed"


def test_the_head_norm_takes_away_what_all_clips_share() -> None:
    """Clips that hardly differ: without it the logits hardly do either."""
    clips = 0.5 + 0.01 * torch.randn(8, 6, 3, 16, 24)
    spread = {}
    for norm in ("none", "batch"):
        torch.manual_seed(0)
        model = ViViT(small("factorised_encoder", head_norm=norm)).train()
        spread[norm] = model(clips).std(dim=0).mean().item()
    assert spread["batch"] > 10 * spread["none"]


def test_a_last_batch_of_one_clip_can_be_trained_on() -> None:
    model = ViViT(small("factorised_encoder", "conv_stem", head_norm="batch")).train()
    loss = model(torch.randn(1, 6, 3, 16, 24)).square().sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert model.head.weight.grad.abs().max() > 0


def test_the_average_of_the_weights_has_statistics_too() -> None:
    model = ViViT(small(head_norm="batch")).train()
    average = WeightAverage(model, decay=0.5)
    model(torch.randn(8, 6, 3, 16, 24) + 1)
    average.update(model, 100)
    mean = model.head_norm.running_mean
    assert mean.abs().max() > 0
    torch.testing.assert_close(average.model.head_norm.running_mean, mean / 2)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_with_small_residual_branches_a_new_model_is_its_embedding(variant: str) -> None:
    model = ViViT(small(variant, pool="mean", residual_init=1e-6, mlp_dim=32)).eval()
    tokens = torch.randn(2, 3, 2, 3, 32)
    encoder = model.spatial_encoder if variant == "factorised_encoder" else model.encoder
    placed = encoder.norm(encoder.positions(tokens))
    if variant == "factorised_encoder":
        found, expected = model.encode_space(tokens), placed.mean(dim=(2, 3))
    else:
        found, expected = model.encode_tokens(tokens), placed.flatten(1, 3)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_residual_branches_that_could_never_move_are_refused() -> None:
    with pytest.raises(ConfigError, match="some kernels never move"):
        small(residual_init=0.0)


@torch.no_grad()
def test_the_stem_sees_motion() -> None:
    """With kernels that look at differences alone, a still clip is nothing, and a moving one is not."""
    model = ViViT(small("factorised_encoder", "conv_stem"))
    stem = model.embedding
    stem.conv1.weight[:, :3] = 0
    stem.eval()
    still = torch.randn(1, 1, 3, 16, 24).expand(1, 6, 3, 16, 24)
    assert stem.conv1(stem.maps(still)).abs().max() == 0
    assert stem.conv1(stem.maps(still * torch.linspace(0, 1, 6)[:, None, None, None])).abs().max() > 0
