"""Which parameters decay, and how fast each learns."""

from __future__ import annotations

import pytest
import torch

import tubelet
from tubelet.config import OptimisationConfig
from tubelet.model import ViViT
from tubelet.training.optimiser import make_optimiser, parameter_groups, set_learning_rate

SMALL = {
    "num_classes": 3,
    "num_frames": 4,
    "image_size": 16,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 24,
    "num_layers": 3,
    "num_heads": 2,
    "mlp_dim": 48,
}


@pytest.fixture(params=["vivit_tiny_16x2", "vivit_tiny_16x2_fe", "vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fdp"])
def model(request: pytest.FixtureRequest) -> ViViT:
    fields = dict(SMALL, temporal_layers=2) if request.param.endswith("fe") else SMALL
    return tubelet.create(request.param, **fields)


def of_each(model: ViViT, key: str, **options: float | None) -> dict[str, float]:
    """Value of `key` for every parameter, by name."""
    by_id = {id(p): g[key] for g in parameter_groups(model, 0.1, **options) for p in g["params"]}
    return {name: by_id[id(parameter)] for name, parameter in model.named_parameters()}


def test_matrices_alone_decay(model: ViViT) -> None:
    for name, decay in of_each(model, "weight_decay").items():
        is_matrix = name.endswith(".weight") and "norm" not in name
        assert decay == (0.1 if is_matrix else 0.0), name


def test_weights_of_pooling_do_not_decay_and_learn_like_the_norm_before_them() -> None:
    model = tubelet.create("vivit_tiny_16x2_fe", **SMALL, temporal_layers=2, pool="weighted")
    decays, rates = of_each(model, "weight_decay"), of_each(model, "rate_factor", layer_decay=0.5)
    for encoder in ("spatial_encoder", "temporal_encoder"):
        assert decays[f"{encoder}.pool_weights.grid"] == 0.0
        assert rates[f"{encoder}.pool_weights.grid"] == rates[f"{encoder}.norm.weight"]


def test_weights_of_pooling_have_a_rate_of_their_own() -> None:
    model = tubelet.create("vivit_tiny_16x2_fe", **SMALL, temporal_layers=2, pool="weighted")
    before, rates = (
        of_each(model, "rate_factor", layer_decay=0.5),
        of_each(model, "rate_factor", layer_decay=0.5, pooling_rate=20.0),
    )
    for name, rate in rates.items():
        assert rate == before[name] * (20 if "pool_weights" in name else 1), name


def test_every_parameter_is_in_exactly_one_group(model: ViViT) -> None:
    grouped = [id(p) for g in parameter_groups(model, 0.1, 0.7) for p in g["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_frozen_parameters_are_left_out(model: ViViT) -> None:
    model.embedding.requires_grad_(False)
    grouped = {id(p) for g in parameter_groups(model, 0.1) for p in g["params"]}
    assert not grouped & {id(parameter) for parameter in model.embedding.parameters()}


def test_layers_learn_the_slower_the_further_they_are_from_the_head() -> None:
    model = tubelet.create("vivit_tiny_16x2", **SMALL)
    rates = of_each(model, "rate_factor", layer_decay=0.5)
    assert rates["head.weight"] == rates["encoder.norm.weight"] == 1
    assert [rates[f"encoder.blocks.{layer}.mlp.fc1.weight"] for layer in (2, 1, 0)] == [1 / 2, 1 / 4, 1 / 8]
    assert rates["embedding.weight"] == rates["encoder.positions.grid"] == rates["encoder.cls"] == 1 / 16


def test_the_temporal_encoder_is_nearer_to_the_head_than_the_spatial_one() -> None:
    model = tubelet.create("vivit_tiny_16x2_fe", **SMALL, temporal_layers=2)
    rates = of_each(model, "rate_factor", layer_decay=0.5)
    assert rates["head.bias"] == rates["temporal_encoder.norm.bias"] == 1
    assert [rates[f"temporal_encoder.blocks.{layer}.mlp.fc2.bias"] for layer in (1, 0)] == [1 / 2, 1 / 4]
    assert [rates[f"spatial_encoder.blocks.{layer}.mlp.fc2.bias"] for layer in (2, 1, 0)] == [1 / 8, 1 / 16, 1 / 32]
    assert rates["spatial_encoder.norm.weight"] == rates["temporal_encoder.positions.grid"] == 1 / 8
    assert rates["embedding.bias"] == rates["spatial_encoder.cls"] == 1 / 64


def test_the_average_pool_baseline_has_no_temporal_layers_to_count() -> None:
    rates = of_each(tubelet.create("vivit_tiny_16x2_fe", **SMALL, temporal_layers=0), "rate_factor", layer_decay=0.5)
    assert rates["head.weight"] == rates["spatial_encoder.norm.weight"] == 1
    assert rates["spatial_encoder.blocks.2.mlp.fc1.weight"] == 1 / 2


def test_sgd_is_the_original_s_with_momentum_and_without_nesterov() -> None:
    model = tubelet.create("vivit_tiny_16x2", **SMALL)
    optimiser = make_optimiser(model, OptimisationConfig(optimiser="sgd", momentum=0.9, weight_decay=0.0))
    before = model.head.bias.detach().clone()
    for _ in range(2):
        set_learning_rate(optimiser, 0.1)
        model.head.bias.grad = torch.ones(3)
        optimiser.step()
    torch.testing.assert_close(model.head.bias.detach(), before - 0.1 * (1 + 1.9))
