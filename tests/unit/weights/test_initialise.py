"""What `tubelet.initialise` changes, reports and refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

import tubelet
from tubelet import ModelConfig, PreprocessingConfig, ViViT, WeightsError
from tubelet.weights import LoadReport
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.initialise import config_for, initialise

VARIANTS = ["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
BASE = ModelConfig(image_size=32, num_frames=8, tubelet_size=(2, 8, 8), num_classes=5)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def logits(model: ViViT, video: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(video)


# --- what follows the source -----------------------------------------------------------------------------------------


def test_activation_norm_and_preprocessing_follow_the_source(published_vit: Any) -> None:
    file = published_vit(cls=False)
    config = config_for(
        file,
        BASE,
        variant="factorised_encoder",
        activation="gelu",
        layer_norm_eps=1e-3,
        input_norm=True,
        output_norm="after_pool",
    )
    model = ViViT(config)
    report = initialise(model, file)
    as_if_built = ViViT(config_for(file, BASE, variant="factorised_encoder"))
    assert model.config == as_if_built.config
    as_if_built.load_state_dict(model.state_dict())
    video = torch.randn(1, 8, 3, 32, 32)
    assert torch.equal(logits(model, video), logits(as_if_built, video))
    assert all(word in str(report) for word in ("activation", "layer_norm_eps", "input_norm", "output_norm"))
    assert model.preprocessing == PreprocessingConfig(num_frames=8, resize=37, crop_size=(32, 32))
    assert model.load_report == report


@pytest.mark.parametrize("variant", VARIANTS)
def test_weighted_pooling_begins_as_the_mean_of_the_image_model(published_vit: Any, variant: str) -> None:
    file = published_vit(cls=False)
    models = [ViViT(config_for(file, BASE, variant=variant, pool=pool)) for pool in ("mean", "weighted")]
    for model in models:
        initialise(model, file)
    mean, weighted = models
    names = [name for name in weighted.state_dict() if "pool_weights" in name]
    assert "a mean at first" in str(weighted.load_report)
    assert len(names) == (2 if variant == "factorised_encoder" else 1)
    rest = {name: tensor for name, tensor in weighted.state_dict().items() if name not in names}
    mean.load_state_dict(rest)
    video = torch.randn(2, 8, 3, 32, 32)
    torch.testing.assert_close(logits(weighted, video), logits(mean, video))


def test_preprocessing_that_is_there_stays(published_vit: Any) -> None:
    file = published_vit()
    own = PreprocessingConfig(num_frames=8, resize=40, crop_size=(32, 32), mean=(0.4, 0.4, 0.4))
    model = ViViT(config_for(file, BASE), preprocessing=own)
    assert "0.4, 0.4, 0.4" in str(initialise(model, file))
    assert model.preprocessing == own


def test_an_optimiser_that_holds_the_parameters_goes_on(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, activation="gelu", layer_norm_eps=1e-3))
    parameters = dict(model.named_parameters())
    model.embedding.weight.requires_grad_(False)
    initialise(model, file)
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert not model.embedding.weight.requires_grad


def test_the_models_type_and_mode_stay(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, input_norm=True)).to(torch.bfloat16).train()
    initialise(model, file)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.training


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_tensor_is_in_the_report_once(variant: str, published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, variant=variant))
    report = initialise(model, file)
    ours = [entry.name for entry in report.entries if entry.name]
    assert sorted(ours) == sorted(model.state_dict())
    theirs = {part for entry in report.entries for part in entry.source.split(" + ") if part}
    assert theirs == set(numpy.load(file))
    assert LoadReport.from_dict(report.to_dict()) == report


# --- head ------------------------------------------------------------------------------------------------------------


def test_head_is_left_unless_asked_for(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE))
    own = model.head.weight.detach().clone()
    report = initialise(model, file)
    assert torch.equal(model.head.weight, own)
    assert {"head/kernel", "head/bias"} <= set(report.names("unused"))
    initialise(model, file, head=True)
    assert torch.equal(model.head.weight.detach(), torch.from_numpy(numpy.load(file)["head/kernel"]).T)


@pytest.mark.parametrize(
    ("num_classes", "arrays", "why"),
    [
        (7, {}, r"5 classes and the model 7.*reset_classifier\(5\)"),
        ({"verb": 5, "noun": 3}, {}, "several"),
        (5, {"head__kernel": None, "head__bias": None}, "no head"),
        (5, {"pre_logits__kernel": numpy.ones((16, 16), numpy.float32)}, "pre-logits"),
    ],
)
def test_head_that_cannot_be_copied(num_classes: Any, arrays: dict[str, Any], why: str, published_vit: Any) -> None:
    file = published_vit(**arrays)
    model = ViViT(config_for(file, BASE, num_classes=num_classes))
    with pytest.raises(WeightsError, match=f"head=True, but .*{why}"):
        initialise(model, file, head=True)
    initialise(model, file)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "options", "why"),
    [
        ({"hidden_size": 32}, {}, r"hidden_size=16.*hidden_size=32.*create\(\.\.\., hidden_size=16\)"),
        ({"num_layers": 3, "mlp_dim": 48}, {}, r"num_layers=2, mlp_dim=24\)"),
        ({"num_heads": 2}, {}, "num_heads=4"),
        ({"in_channels": 1}, {}, "in_channels=3"),
        ({"image_size": 48}, {}, "resize_tile"),
        ({"activation": "gelu"}, {"architecture": "vit_tiny_patch16_224"}, "leave it out"),
    ],
)
def test_what_does_not_fit_leaves_the_model_as_it_was(
    fields: dict[str, Any], options: dict[str, Any], why: str, published_vit: Any
) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, **fields))
    state, config = snapshot(model), model.config
    with pytest.raises(WeightsError, match=why):
        initialise(model, file, **options)
    assert model.config == config
    assert (model.preprocessing, model.load_report) == (None, None)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_words_that_are_no_option_are_an_error(published_vit: Any) -> None:
    """In a process of its own: the tests' own checks of types would speak first."""
    code = (
        "import sys, tubelet\n"
        "model = tubelet.create('vivit_tiny_16x2', image_size=32, num_frames=2)\n"
        "for option in ({'tubelet_init': 'centre'}, {'positions': 'tiled'}, {'behaviour': 'exact'}):\n"
        "    try:\n"
        "        tubelet.initialise(model, sys.argv[1], **option)\n"
        "    except tubelet.ConfigError as error:\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", code, str(published_vit())]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 3
    assert "tubelet_init='centre'" in lines[0]
    assert "'central_frame', 'inflation', 'rank_pooling', 'random'" in lines[0]
    assert "'resize_tile'" in lines[1]
    assert "'original'" in lines[2]


def test_unexpected_tensors_are_an_error_unless_allowed(published_vit: Any) -> None:
    file = published_vit(register=numpy.ones((3, 16), numpy.float32))
    model = ViViT(config_for(file, BASE, activation="gelu"))
    state = snapshot(model)
    with pytest.raises(WeightsError, match=r"register is not expected.*allow_unexpected"):
        initialise(model, file)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model.config.activation == "gelu"
    with pytest.raises(WeightsError, match="register is not expected"):
        initialise(model, file, allow_unexpected="head*")  # a pattern, not its letters, of which * allows all
    assert "register" in initialise(model, file, allow_unexpected=["reg*"]).names("unused")
    assert model.config.activation == "gelu_tanh"


def test_the_size_of_a_preset_is_named(published_vit: Any) -> None:
    file = published_vit(dim=192, heads=3, layers=12, mlp=768, patch=16, grid=2, classes=2)
    with pytest.raises(WeightsError, match="vivit_tiny_"):
        initialise(tubelet.create("vivit_small_16x2", image_size=32, num_frames=2), file)
    model = tubelet.create("vivit_tiny_16x2", image_size=32, num_frames=2, num_classes=2)
    initialise(model, file, head=True)


def test_three_heads_cannot_be_halved(published_vit: Any) -> None:
    file = published_vit(dim=192, heads=3)
    model = ViViT(config_for(file, BASE, variant="factorised_dot_product", num_heads=4))
    with pytest.raises(WeightsError, match="halved"):
        initialise(model, file)


def test_config_for_keeps_what_is_the_videos_and_lets_overrides_win(published_vit: Any) -> None:
    file = published_vit(cls=False)
    config = config_for(file, "vivit_large_16x4_fe", image_size=64, num_frames=16, pool="cls", drop_path=0.1)
    assert (config.variant, config.num_frames, config.image_size) == ("factorised_encoder", 16, (64, 64))
    assert (config.hidden_size, config.num_layers, config.num_heads, config.mlp_dim) == (16, 2, 4, 24)
    assert config.tubelet_size == (4, 8, 8)
    assert (config.pool, config.drop_path) == ("cls", 0.1)
    assert config_for(read_image_vit(file), BASE).pool == "mean"


def test_a_saved_model_comes_back_with_what_followed_the_source(published_vit: Any, tmp_path: Path) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, activation="gelu"))
    initialise(model, file)
    tubelet.save(model, tmp_path / "saved")
    again = tubelet.load(tmp_path / "saved")
    assert again.config == model.config
    assert again.preprocessing == model.preprocessing
    video = torch.randn(1, 8, 3, 32, 32)
    assert torch.equal(logits(again, video), logits(model, video))
