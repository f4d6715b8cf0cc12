"""Where a video model stands when it starts from an image transformer: kernels, positions, class token, time."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from tubelet import ConfigError, ModelConfig, ViViT, WeightsError
from tubelet.weights.inflate import inflate_kernel, rank_pooling_weights, resize_kernel
from tubelet.weights.initialise import config_for, initialise

VARIANTS = ["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
BASE = ModelConfig(image_size=32, num_frames=8, tubelet_size=(2, 8, 8), num_classes=5)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def logits(model: ViViT, video: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(video)


def pooled(model: ViViT, video: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval().forward_head(model.forward_features(video), pre_logits=True)


# --- kernels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8])
def test_central_frame_sees_the_middle_frame_and_inflation_the_mean(frames: int) -> None:
    kernel, frame = torch.randn(6, 3, 4, 4), torch.randn(frames, 3, 4, 4)
    tokens = {
        method: torch.einsum("dcthw,tchw->d", inflate_kernel(kernel, frames, method), frame)
        for method in ("central_frame", "inflation")
    }
    of_image = torch.einsum("dchw,tchw->td", kernel, frame)
    torch.testing.assert_close(tokens["central_frame"], of_image[frames // 2])
    torch.testing.assert_close(tokens["inflation"], of_image.mean(0))


def test_rank_pooling_weights_are_the_formulas() -> None:
    """2 (t - i + 1) - (t + 1)(H_t - H_(i-1)), by hand for t = 2 and t = 3."""
    assert rank_pooling_weights(2).tolist() == pytest.approx([4 - 3 * 1.5, 2 - 3 * 0.5])
    harmonic = [0, 1, 1.5, 1.5 + 1 / 3]
    by_hand = [6 - 4 * (harmonic[3] - harmonic[0]), 4 - 4 * (harmonic[3] - harmonic[1]), 2 - 4 * (1 / 3)]
    assert rank_pooling_weights(3).tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_rank_pooling_gives_nothing_for_a_still_picture_and_ranks_time(frames: int) -> None:
    kernel = inflate_kernel(torch.ones(1, 1, 1, 1), frames, "rank_pooling").flatten()
    assert kernel.sum().abs() < 1e-6
    assert kernel[-1] > 0 > kernel[0]


@pytest.mark.parametrize("size", [(12, 12), (8, 16), (32, 10)])
def test_a_kernel_resized_to_larger_patches_gives_the_same_tokens(size: tuple[int, int]) -> None:
    kernel, patches = torch.randn(5, 3, 8, 8), torch.randn(7, 3, 8, 8)
    larger = nn.functional.interpolate(patches, size=size, mode="bilinear", antialias=True)
    before = torch.einsum("dchw,nchw->nd", kernel, patches)
    after = torch.einsum("dchw,nchw->nd", resize_kernel(kernel, size), larger)
    torch.testing.assert_close(after, before, atol=2e-4, rtol=0)


@pytest.mark.parametrize("method", ["central_frame", "inflation"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_static_clip_gives_the_same_with_central_frame_and_inflation(
    variant: str, method: Any, published_vit: Any
) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant=variant))
    still = torch.randn(1, 1, 3, 32, 32).expand(-1, 8, -1, -1, -1)
    initialise(model, file)
    central = logits(model, still)
    initialise(model, file, tubelet_init=method)
    torch.testing.assert_close(logits(model, still), central, atol=1e-5, rtol=0)


def test_random_leaves_the_models_own_kernel_and_bias(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE))
    kernel = model.embedding.weight.detach().clone()
    report = initialise(model, file, tubelet_init="random")
    assert torch.equal(model.embedding.weight, kernel)
    assert {"embedding.weight", "embedding.bias"} <= set(report.names("new"))
    assert {"embedding/kernel", "embedding/bias"} <= set(report.names("unused"))


def test_uniform_frames_take_the_kernel_as_it_is(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, embedding="uniform_frames", sampled_frames=4))
    report = initialise(model, file)
    kernel = torch.from_numpy(numpy.load(file)["embedding/kernel"]).permute(3, 2, 0, 1)
    assert torch.equal(model.embedding.weight[:, :, 0], kernel)
    assert next(entry.status for entry in report.entries if entry.name == "embedding.weight") == "loaded"


def test_conv_stem_keeps_its_embedding_and_says_so(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, embedding="conv_stem"))
    own = snapshot(model.embedding)
    report = initialise(model, file)
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.embedding.state_dict().items())
    assert {f"embedding.{name}" for name in own} <= set(report.names("new"))
    assert "embedding/kernel" in report.names("unused")


def test_patches_of_another_size_are_resized_and_said(published_vit: Any) -> None:
    file = published_vit(patch=8)
    model = ViViT(config_for(file, BASE, tubelet_size=(2, 16, 16), image_size=64))
    assert "resized to 16 x 16" in str(initialise(model, file))
    small = torch.randn(1, 8, 3, 32, 32)
    large = nn.functional.interpolate(small[0], scale_factor=2, mode="bilinear", antialias=True)[None]
    same = ViViT(config_for(file, BASE))
    initialise(same, file)
    torch.testing.assert_close(pooled(model, large), pooled(same, small), atol=0.2, rtol=0)  # image borders differ
    with pytest.raises(WeightsError, match="Scenic cannot adapt"):
        initialise(model, file, behaviour="original")


def test_rank_pooling_of_one_frame_is_an_error(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, embedding="uniform_frames"))
    with pytest.raises(ConfigError, match="single frame"):
        initialise(model, file, tubelet_init="rank_pooling")


# --- positions and class token ---------------------------------------------------------------------------------------


def name_of_positions(model: ViViT) -> str:
    return f"{'spatial_encoder' if model.config.variant == 'factorised_encoder' else 'encoder'}.positions.grid"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(48, 64), (16, 24)])
def test_resized_positions_are_what_the_model_interpolates_itself(
    variant: str, size: tuple[int, int], published_vit: Any
) -> None:
    """A model of the source's size that is shown another size, and one made for that size, are one function."""
    file = published_vit()
    video = torch.randn(1, 8, 3, *size)
    shown, made = (ViViT(config_for(file, BASE, variant=variant, image_size=s)) for s in (32, size))
    initialise(shown, file)
    own = {name: tensor for name, tensor in shown.state_dict().items() if name != name_of_positions(made)}
    made.load_state_dict(own, strict=False)
    for positions in ("resize", "resize_tile"):
        initialise(made, file, positions=positions)
        torch.testing.assert_close(logits(made, video), logits(shown, video), atol=1e-5, rtol=0)


def test_tile_does_not_guess_another_grid(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, image_size=(32, 48)))
    with pytest.raises(WeightsError, match=r"4 x 4 patches.*4 x 6.*resize_tile.*image_size=\(32, 32\)"):
        initialise(model, file)


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
@pytest.mark.parametrize("source_cls", [True, False])
@pytest.mark.parametrize("pool", ["cls", "mean", "max"])
def test_every_pair_of_class_token_and_pooling(variant: str, source_cls: bool, pool: str, published_vit: Any) -> None:
    file = published_vit(cls=source_cls)
    arrays = numpy.load(file)
    model = ViViT(config_for(file, BASE, variant=variant, pool=pool))
    encoder = model.encoder if variant == "spatio_temporal" else model.spatial_encoder
    own = snapshot(encoder)
    report = initialise(model, file)
    first = int(source_cls)
    grid = torch.from_numpy(arrays["Transformer/posembed_input/pos_embedding"])[0, first:]
    assert torch.equal(encoder.positions.grid.detach()[0].flatten(0, 1), grid)
    if pool != "cls":
        assert encoder.cls is None
        assert ("cls" in report.names("unused")) == source_cls
    elif source_cls:
        assert torch.equal(encoder.cls.detach(), torch.from_numpy(arrays["cls"])[0])
        table = torch.from_numpy(arrays["Transformer/posembed_input/pos_embedding"])
        assert torch.equal(encoder.positions.cls.detach(), table[0, :1])
    else:
        assert torch.equal(encoder.cls, own["cls"])
        assert torch.equal(encoder.positions.cls, own["positions.cls"])
        assert sum(name.endswith("cls") and "temporal" not in name for name in report.names("new")) == 2


def test_fixed_positions_stay_fixed(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, positions="sinusoidal"))
    report = initialise(model, file)
    assert "Transformer/posembed_input/pos_embedding" in report.names("unused")


def test_the_temporal_encoder_of_model_2_stays_as_it_was(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant="factorised_encoder", temporal_layers=2))
    own = snapshot(model.temporal_encoder)
    report = initialise(model, file)
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.temporal_encoder.state_dict().items())
    assert sum(name.startswith("temporal_encoder.") for name in report.names("new")) == len(own)


# --- the attention over time of model 3 ------------------------------------------------------------------------------


def trained(model: ViViT, steps: int = 20) -> ViViT:
    """Some steps of AdamW on random videos, each with its own class."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-3, weight_decay=0.0)
    videos = torch.randn(5, 8, 3, 32, 32, generator=generator)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(videos), torch.arange(5))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("order", ["space_time", "time_space"])
@pytest.mark.parametrize("source_cls", [True, False])
def test_model_3_starts_as_the_image_model_on_static_clips(order: str, source_cls: bool, published_vit: Any) -> None:
    file = published_vit(cls=source_cls)
    model = ViViT(config_for(file, BASE, variant="factorised_self_attention", attention_order=order))
    image_model = ViViT(config_for(file, BASE, embedding="uniform_frames", num_frames=1, pool="mean"))
    initialise(model, file)
    initialise(image_model, file)
    image = torch.randn(2, 1, 3, 32, 32)
    difference = pooled(model, image.expand(-1, 8, -1, -1, -1)) - pooled(image_model, image)
    assert difference.abs().max() <= 1e-5


def test_every_temporal_weight_moves_within_20_steps(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant="factorised_self_attention"))
    initialise(model, file)
    before = snapshot(model)
    after = trained(model).state_dict()
    for layer in range(2):
        for name in ("time.qkv.weight", "time.qkv.bias", "time.out.weight", "time.out.bias"):
            moved = (after[f"encoder.blocks.{layer}.{name}"] - before[f"encoder.blocks.{layer}.{name}"]).abs()
            parts = moved.chunk(3) if "qkv.weight" in name else [moved]  # queries, keys and values, each
            assert all(part.max() > 1e-4 for part in parts), name
        for name in ("norm_time.weight", "norm_time.bias"):
            assert not torch.equal(after[f"encoder.blocks.{layer}.{name}"], before[f"encoder.blocks.{layer}.{name}"])


def test_the_papers_zero_start_never_learns(published_vit: Any) -> None:
    """All-zero attention: the gradient of each kernel is a product with another kernel that is 0."""
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant="factorised_self_attention"))
    initialise(model, file, behaviour="paper")
    after = trained(model).state_dict()
    for layer in range(2):
        for name in ("time.qkv.weight", "time.out.weight"):
            assert not after[f"encoder.blocks.{layer}.{name}"].any(), name
        assert after[f"encoder.blocks.{layer}.time.out.bias"].any()


def test_the_original_does_not_start_as_the_image_model(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant="factorised_self_attention"))
    still = torch.randn(2, 1, 3, 32, 32).expand(-1, 8, -1, -1, -1)
    start = {}
    for behaviour in ("default", "paper", "original"):
        initialise(model, file, behaviour=behaviour)
        start[behaviour] = pooled(model, still)
    torch.testing.assert_close(start["paper"], start["default"], atol=1e-5, rtol=0)
    assert (start["original"] - start["default"]).abs().max() > 0.01
