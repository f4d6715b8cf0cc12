"""What every variant x embedding x pooling must keep; each clause is one that some public implementation breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from contract.configurations import EMBEDDINGS, VARIANTS, a_few_configurations, every_configuration, small
from tubelet.config import replace
from tubelet.model import ViViT
from tubelet.nn import interpolate_grid, record_attention
from tubelet.weights import load, save

CONFIGURATIONS = every_configuration()
every = pytest.mark.parametrize("name", CONFIGURATIONS)


def build(name: str, **changes: object) -> ViViT:
    """The model in evaluation mode, every parameter drawn, so that nothing hides behind a zero."""
    model = ViViT(replace(CONFIGURATIONS[name], **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def a_video(model: ViViT, batch: int = 2) -> Tensor:
    config = model.config
    return torch.randn(batch, config.num_frames, config.in_channels, *config.image_size)


@every
@torch.no_grad()
def test_evaluation_is_deterministic_to_the_bit_whatever_the_dropout(name: str) -> None:
    model = build(name, dropout=0.5, attention_dropout=0.5, drop_path=0.5)
    video = a_video(model)
    assert torch.equal(model(video), model(video))
    model.train()
    assert not torch.equal(model(video), model(video)), "dropout does nothing in training"


@every
@torch.no_grad()
def test_a_sample_does_not_see_its_batch_neighbours(name: str) -> None:
    model = build(name)
    video = a_video(model, batch=3)
    alone = model(video[1:2])
    video[0], video[2] = float("nan"), 1e4
    torch.testing.assert_close(model(video)[1:2], alone, atol=2e-6, rtol=1e-5)


@every
def test_every_parameter_gets_a_gradient_from_the_first_batch(name: str) -> None:
    model = ViViT(CONFIGURATIONS[name])
    nn.functional.cross_entropy(model(a_video(model, 4)), torch.tensor([0, 1, 2, 3])).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


@every
@torch.no_grad()
def test_the_state_dict_is_the_whole_model(name: str) -> None:
    model, other = build(name), build(name)
    assert {*dict(model.named_parameters()), *dict(model.named_buffers())} == set(model.state_dict())
    video = a_video(model)
    assert not torch.allclose(other(video), model(video))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(video), model(video))


@every
@torch.no_grad()
def test_saving_and_loading_is_the_identity(name: str, tmp_path: Path) -> None:
    model = build(name)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    video = a_video(model)
    assert torch.equal(loaded(video), model(video))
    assert loaded.config == model.config


@every
@torch.no_grad()
def test_masked_frames_do_not_change_the_result(name: str) -> None:
    model = build(name)
    video = a_video(model)
    mask = torch.tensor([[True] * 5 + [False], [False, False, True, True, False, False]])
    expected = model(video, mask)
    video[~mask] = float("nan")
    assert torch.equal(model(video, mask), expected)
    assert not torch.allclose(expected, model(torch.zeros_like(video), mask))


@every
@torch.no_grad()
def test_a_mask_without_masked_frames_changes_nothing(name: str) -> None:
    model = build(name)
    video = a_video(model)
    torch.testing.assert_close(model(video, torch.ones(2, 6, dtype=torch.bool)), model(video), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_padded_clip_equals_the_short_clip(variant: str) -> None:
    """Four real frames and two masked ones: a model of four frames with the positions of the first two times."""
    model = ViViT(small(variant)).eval()
    short = ViViT(small(variant, num_frames=4)).eval()
    state = model.state_dict()
    for key in state:
        if key.endswith("positions.grid") and state[key].shape[0] == 3:
            state[key] = state[key][:2]
    short.load_state_dict(state)
    video = a_video(model)
    mask = torch.tensor([[True] * 4 + [False] * 2] * 2)
    torch.testing.assert_close(model(video, mask), short(video[:, :4]), atol=2e-6, rtol=1e-5)


@every
@torch.no_grad()
def test_other_frames_sizes_and_aspects_give_the_model_of_that_size(name: str) -> None:
    """At run time positions are interpolated: the same as a model built for the size with interpolated positions."""
    model = build(name)
    for frames, height, width in ((12, 16, 24), (6, 32, 16), (4, 8, 40)):
        built = ViViT(replace(model.config, num_frames=frames, image_size=(height, width))).eval()
        own, target = model.state_dict(), built.state_dict()
        for key in target:
            if key.endswith((".positions.grid", ".pool_weights.grid")):
                own[key] = interpolate_grid(own[key], tuple(target[key].shape[:3]))
        built.load_state_dict(own)
        video = torch.randn(1, frames, 3, height, width)
        torch.testing.assert_close(model(video), built(video), atol=2e-6, rtol=1e-5)


@every
@torch.no_grad()
def test_the_manual_path_is_the_fused_one_and_hands_out_its_weights(name: str) -> None:
    model = build(name)
    video, mask = a_video(model), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    expected = model(video, mask)
    with record_attention(model) as weights:
        torch.testing.assert_close(model(video, mask), expected, atol=2e-6, rtol=1e-5)
    assert len(weights) == sum(1 for module in model.modules() if hasattr(module, "fused"))
    for rows in weights.values():
        torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:-1]))
    assert torch.equal(model(video, mask), expected), "the fused path is not back"


def dense_attention(layer: nn.Module, x: Tensor, allowed_by_head: Tensor) -> Tensor:
    """Plain attention of N tokens with a mask [H, N, N], from the layer's weights."""
    heads = layer.num_heads
    dim = x.shape[-1]
    query, key, value = (x @ layer.qkv.weight.T + layer.qkv.bias).chunk(3, dim=-1)
    out = torch.zeros_like(x)
    width = dim // heads
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = torch.einsum("bic,bjc->bij", query[..., part], key[..., part]) / width**0.5
        scores = scores.masked_fill(~allowed_by_head[head], float("-inf"))
        out[..., part] = scores.softmax(-1) @ value[..., part]
    return out @ layer.out.weight.T + layer.out.bias


def same_time_and_same_place(time: int, places: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(time * places)
    return index[:, None] // places == index // places, index[:, None] % places == index % places


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("order", ["space_time", "time_space"])
@torch.no_grad()
def test_model_3_equals_masked_dense_attention(embedding: str, order: str) -> None:
    model = ViViT(small("factorised_self_attention", embedding, attention_order=order)).double().eval()
    video = a_video(model).double()
    same_time, same_place = same_time_and_same_place(3, 6)
    x = (model.embed(video) + model.encoder.positions.grid).flatten(1, 3)
    for block in model.encoder.blocks:
        for axis in order.split("_"):
            layer, norm = getattr(block, axis), getattr(block, f"norm_{axis}")
            allowed = same_time if axis == "space" else same_place
            x = x + dense_attention(layer, norm(x), allowed.expand(4, -1, -1))
        x = x + block.mlp(block.norm_mlp(x))
    expected = model.head(model.encoder.norm(x).mean(1))
    torch.testing.assert_close(model(video), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@torch.no_grad()
def test_model_4_equals_masked_dense_attention(embedding: str) -> None:
    model = ViViT(small("factorised_dot_product", embedding)).double().eval()
    video = a_video(model).double()
    same_time, same_place = same_time_and_same_place(3, 6)
    allowed = torch.stack([same_place, same_place, same_time, same_time])
    x = (model.embed(video) + model.encoder.positions.grid).flatten(1, 3)
    for block in model.encoder.blocks:
        x = x + dense_attention(block.attention, block.norm_attention(x), allowed)
        x = x + block.mlp(block.norm_mlp(x))
    expected = model.head(model.encoder.norm(x).mean(1))
    torch.testing.assert_close(model(video), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("temporal_layers", [0, 2])
@torch.no_grad()
def test_model_2_equals_a_loop_over_times(embedding: str, temporal_layers: int) -> None:
    model = ViViT(small("factorised_encoder", embedding, temporal_layers=temporal_layers)).double().eval()
    video = a_video(model, batch=1).double()
    frames = []
    for tokens in model.embed(video)[0]:
        encoder = model.spatial_encoder
        x = torch.cat([encoder.cls + encoder.positions.cls, (tokens + encoder.positions.grid[0]).flatten(0, 1)])[None]
        for block in encoder.blocks:
            x = block(x)
        frames.append(encoder.norm(x)[:, 0])
    if temporal_layers:
        encoder = model.temporal_encoder
        steps = [frame + encoder.positions.grid[t, 0, 0] for t, frame in enumerate(frames)]
        x = torch.stack([encoder.cls + encoder.positions.cls, *steps], dim=1)
        for block in encoder.blocks:
            x = block(x)
        pooled = encoder.norm(x)[:, 0]
    else:
        pooled = torch.stack(frames).mean(0)
    torch.testing.assert_close(model(video), model.head(pooled), atol=1e-12, rtol=1e-10)


@torch.no_grad()
def test_tubelets_are_the_strided_convolution() -> None:
    model = ViViT(small()).double()
    video = a_video(model).double()
    kernel, bias = model.embedding.weight, model.embedding.bias
    expected = nn.functional.conv3d(video.transpose(1, 2), kernel, bias, stride=kernel.shape[2:])
    torch.testing.assert_close(model.embed(video), expected.permute(0, 2, 3, 4, 1), atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_drop_path_works_in_every_variant_and_keeps_the_expectation(variant: str) -> None:
    """The first block never drops (the ramp starts at 0); the mean over draws is the value without."""
    model = ViViT(small(variant, drop_path=0.5)).double()
    first, block = (model.spatial_encoder if variant == "factorised_encoder" else model.encoder).blocks
    assert (first.drop_path.rate, block.drop_path.rate) == (0.0, 0.5)
    x = torch.randn(1, 6, 32, dtype=torch.float64)
    if variant.startswith("factorised_") and variant != "factorised_encoder":
        x = x[:, None]
    branches = block.drop_path(torch.ones(4000, 1))
    assert set(branches.flatten().tolist()) == {0.0, 2.0}
    assert branches.mean().item() == pytest.approx(1.0, abs=5 / 4000**0.5), "five standard errors: 0 and 2 spread by 1"
    draws = torch.stack([block(x) for _ in range(40)])
    assert len(torch.unique(draws.flatten(1), dim=0)) >= 4, "the branches are not dropped one by one"


@pytest.mark.parametrize("variant", VARIANTS)
def test_checkpointing_changes_memory_not_gradients(variant: str) -> None:
    model = ViViT(small(variant, dropout=0.1))
    video = a_video(model)

    def gradients() -> Tensor:
        torch.manual_seed(3)
        model.zero_grad()
        model(video).square().sum().backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    plain = gradients()
    model.set_checkpointing()
    assert torch.equal(gradients(), plain)


def compiled(*names: str) -> dict[str, dict[str, float | str]]:
    folder = Path(__file__).parent
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    script = subprocess.run(
        [sys.executable, str(folder / "compile_and_export.py"), *names],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert script.returncode == 0, script.stderr[-3000:]
    return json.loads(script.stdout)


def compiles_to_one_graph_and_exports(*names: str) -> None:
    found = compiled(*names)
    assert set(found) == set(names)
    for name, differences in found.items():
        assert "error" not in differences, f"{name}: {differences['error']}"
        limit = 1e-4 if name == "inductor" else 2e-6
        assert all(value < limit for value in differences.values()), f"{name}: {differences}"


def test_every_variant_embedding_and_pooling_compiles_and_exports() -> None:
    compiles_to_one_graph_and_exports(*a_few_configurations())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_configuration_compiles_and_exports() -> None:
    compiles_to_one_graph_and_exports(*CONFIGURATIONS, "inductor")
