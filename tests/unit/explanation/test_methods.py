"""The other methods, against what they are defined by; and what a map must and must not depend on."""

from __future__ import annotations

import pytest
import torch
from tests.contract.configurations import small
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.explanation import METHODS, explain, methods_for
from tubelet.explanation.attention import legrad, rollout
from tubelet.explanation.balanced import balanced_gradients
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import filled, hidden
from tubelet.explanation.integrated import integrated_gradients
from tubelet.explanation.perturbation import occlusion, rise
from tubelet.explanation.score import relevance_gain
from tubelet.explanation.target import Target
from tubelet.model import ViViT
from tubelet.nn.recording import record_attention

TARGET = Target("label", 1, "1")
VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")


def made(variant: str, **fields: object) -> ViViT:
    torch.manual_seed(0)
    model = ViViT(small(variant, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def clip(seed: int = 1) -> Tensor:
    return torch.randn(1, 6, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("embedding", ["tubelet", "uniform_frames"])
def test_grid_puts_a_token_where_the_embedding_takes_it_from(embedding: str) -> None:
    """Changing the pixels that the grid gives to one token changes that token alone."""
    model = made("spatio_temporal", embedding=embedding)
    grid = TokenGrid.of(model.config, (6, 16, 24))
    shown = torch.zeros(1, *grid.size)
    shown[0, 1, 1, 2] = 1
    video = clip()
    with torch.no_grad():
        difference = model.embed(video + grid.over_pixels(shown)) - model.embed(video)
    changed = difference[0].abs().sum(dim=-1) > 1e-4
    assert changed.sum() == 1
    assert changed[1, 1, 2]
    assert torch.equal(grid.over_tokens(grid.over_pixels(shown)) > 0, shown > 0)


def test_hidden_tokens_are_filled_and_shown_ones_stay() -> None:
    model, video = made("spatio_temporal"), clip()
    grid = TokenGrid.of(model.config, (6, 16, 24))
    shown = torch.ones(1, *grid.size)
    shown[0, 0, 0, 0] = 0
    frozen = hidden(video, filled(video, "freeze"), grid, shown)
    torch.testing.assert_close(
        frozen[0, 0:2, :, 0:8, 0:8], video.mean(dim=1)[0, None, :, 0:8, 0:8].expand(2, -1, -1, -1)
    )
    frozen[0, 0:2, :, 0:8, 0:8] = video[0, 0:2, :, 0:8, 0:8]
    torch.testing.assert_close(frozen, video)
    grey = hidden(video, filled(video, "mean"), grid, shown)[0, 0, :, 0, 0]
    torch.testing.assert_close(grey, video.mean(dim=(0, 1, 3, 4)))


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_self_attention", "factorised_dot_product"])
def test_rollout_is_the_product_of_the_matrices(variant: str) -> None:
    """Against matrices over all tokens, multiplied out."""
    model = made(variant, pool="mean")
    video = clip()
    found = rollout(model, video, None, TARGET).map[0].flatten()
    times, places = 3, 6
    with record_attention(model) as recorded, torch.no_grad():
        model(video)
    same_time = torch.eye(times).repeat_interleave(places, 0).repeat_interleave(places, 1)
    same_place = torch.eye(places).repeat(times, times)

    def whole(weights: Tensor, axis: str) -> Tensor:
        mean = weights.mean(dim=1)
        if axis == "all":
            return mean[0]
        out = torch.zeros(18, 18)
        inside = same_time if axis == "space" else same_place
        for one in range(18):
            for other in range(18):
                if inside[one, other]:
                    (t, n), (u, m) = divmod(one, places), divmod(other, places)
                    out[one, other] = mean[t][n, m] if axis == "space" else mean[n][t, u]
        return out

    product = torch.eye(18)
    for layer in range(2):
        name = f"encoder.blocks.{layer}"
        if variant == "spatio_temporal":
            factors = [0.5 * whole(recorded[f"{name}.attention.dot_product"], "all")]
        elif variant == "factorised_dot_product":
            axes = [whole(recorded[f"{name}.attention.{axis}"], axis) for axis in ("time", "space")]
            factors = [0.25 * axes[0] + 0.25 * axes[1]]
        else:
            factors = [0.5 * whole(recorded[f"{name}.{axis}.dot_product"], axis) for axis in ("space", "time")]
        for factor in factors:
            product = (0.5 * torch.eye(18) + factor) @ product
    torch.testing.assert_close(found, torch.full((18,), 1 / 18) @ product)


def test_rollout_of_the_factorised_encoder_sums_to_one_without_class_tokens() -> None:
    found = rollout(made("factorised_encoder", pool="mean"), clip(), None, TARGET).map
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert found.std() > 1e-4


def test_legrad_is_the_positive_gradient_of_each_layers_attention() -> None:
    """Against autograd through a hook on the weights of the recording path, layer by layer."""
    model, video = made("spatio_temporal"), clip()
    found = legrad(model, video, None, TARGET).map[0].flatten()
    expected = torch.zeros(19)
    for layer in range(2):
        kept: list[Tensor] = []
        product = model.encoder.blocks[layer].attention.dot_product
        product.fused = False
        handle = product.dropout.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        tokens = model.embed(video)
        x, _ = model.encoder.before_blocks(tokens)
        for block in model.encoder.blocks[: layer + 1]:
            x = block(x)
        logit = model.classify(model.encoder.pool(model.encoder.after_blocks(x)))[0, 1]
        (gradient,) = torch.autograd.grad(logit, kept[0])
        handle.remove()
        product.fused = True
        expected += gradient[0].clamp(min=0).mean(dim=(0, 1))
    torch.testing.assert_close(found, expected[1:], rtol=1e-4, atol=1e-7)


def test_occlusion_of_single_tokens_is_the_fall_of_the_logit() -> None:
    model, video = made("factorised_encoder"), clip()
    found = occlusion(model, video, None, TARGET, tube=(1, 1, 1))
    dark = video.clone()
    dark[0, 2:4, :, 8:16, 16:24] = video.mean(dim=(1, 3, 4))[0][None, :, None, None]
    with torch.no_grad():
        fall = float(model(video)[0, 1] - model(dark)[0, 1])
    assert float(found.map[0, 1, 1, 2]) == pytest.approx(fall, abs=1e-5)


def test_occlusion_of_tubes_spreads_the_fall_and_rise_finds_the_same_place() -> None:
    """A model that sees one token alone: both say so."""
    model = made("spatio_temporal")

    class OneToken(nn.Module):
        config = model.config

        def forward(self, video: Tensor, mask: Tensor | None = None) -> Tensor:
            return video[:, 4:6, :, 0:8, 8:16].mean(dim=(1, 2, 3, 4))[:, None].expand(-1, 5)

    video = torch.zeros(1, 6, 3, 16, 24)
    video[0, 4:6, :, 0:8, 8:16] = 1
    for method, share in ((occlusion, 0.2), (rise, None)):
        heat = method(OneToken(), video, None, TARGET).map[0]
        assert heat[2, 0, 1] == heat.max()
        if share is not None:
            assert float(heat.sum()) == pytest.approx(1 - 1 / 18, abs=1e-4)


def test_integrated_gradients_add_up_to_the_change_from_the_baseline() -> None:
    model, video = made("factorised_dot_product"), clip()
    found = integrated_gradients(model, video, None, TARGET, steps=200)
    with torch.no_grad():
        change = float(model(video)[0, 1] - model(filled(video, "mean"))[0, 1])
    assert float(found.map.sum()) == pytest.approx(change, abs=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_against_is_the_difference_of_two_maps(variant: str) -> None:
    model, video = made(variant), clip()
    one = balanced_gradients(model, video, None, Target("label", 1, "1")).map
    other = balanced_gradients(model, video, None, Target("label", 3, "3")).map
    both = balanced_gradients(model, video, None, Target("label", 1, "1", 3, "3")).map
    torch.testing.assert_close(both, one - other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["factorised_self_attention", "factorised_dot_product"])
def test_split_between_space_and_time_follows_what_each_adds(variant: str) -> None:
    """Without values in the layers over time, time adds only what its biases do not: nothing."""
    model = made(variant)
    with torch.no_grad():
        for block in model.encoder.blocks:
            if variant == "factorised_self_attention":
                block.time.out.weight.zero_()
                block.time.out.bias.zero_()
            else:
                block.attention.out.weight[:, :16] = 0
    found = balanced_gradients(model, clip(), None, TARGET).split
    assert found["time"] == pytest.approx(0, abs=1e-6)
    assert abs(found["space"]) > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_model_is_left_as_it_was(variant: str) -> None:
    model = made(variant).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for method in methods_for(model):
        explain(model, clip(), method=method)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_user_layer_is_refused_by_balanced_gradients_and_taken_by_occlusion() -> None:
    class Mine(nn.Module):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return x * 0.5

    model = made("spatio_temporal")
    model.encoder.blocks[0].attention = Mine()
    with pytest.raises(ConfigError, match=r"encoder\.blocks\.0\.attention \(Mine\).*method='occlusion'"):
        explain(model, clip(), method="balanced")
    assert explain(model, clip(), method="occlusion").map.std() > 0


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no method 'ballanced'; did you mean 'balanced'"):
        explain(made("spatio_temporal"), clip(), method="ballanced")
    assert set(methods_for(made("spatio_temporal"))) == set(METHODS) - {"shapley"}


def test_score_of_the_true_order_is_high_of_its_opposite_low_and_of_noise_within_chance() -> None:
    weight = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    model = made("spatio_temporal")
    grid = TokenGrid.of(model.config, (6, 16, 24))

    class Sum(nn.Module):
        """A logit that is a known sum over tokens."""

        def forward(self, video: Tensor, mask: Tensor | None = None) -> Tensor:
            return (grid.over_tokens(video) * weight).sum(dim=(1, 2, 3))[:, None].expand(-1, 5) / 100

    sums = Sum()
    sums.config = model.config
    video = clip().abs() + torch.rand(1, 6, 1, 1, 1)
    heat = (grid.over_tokens(video - filled(video, "mean")) * weight)[0]
    true = relevance_gain(sums, video, None, TARGET, heat)
    opposite = relevance_gain(sums, video, None, TARGET, -heat)
    noise = relevance_gain(sums, video, None, TARGET, torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(5)))
    assert true.better_than_chance
    assert true.gain == pytest.approx(-opposite.gain, abs=1e-5)
    assert abs(noise.gain) < true.gain
    assert not opposite.better_than_chance


def test_a_logit_that_nothing_changes_has_no_score() -> None:
    class Constant(nn.Module):
        config = made("spatio_temporal").config

        def forward(self, video: Tensor, mask: Tensor | None = None) -> Tensor:
            return torch.ones(len(video), 5)

    score = relevance_gain(Constant(), clip(), None, TARGET, torch.randn(3, 2, 3))
    assert score.gain is None
    assert not score.better_than_chance
    assert "does not change" in str(score)
