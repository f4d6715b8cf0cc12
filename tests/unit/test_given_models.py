"""Models as people bring them: in wrappers, with a head or layers of their own, with heads of any name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tubelet
from tubelet.config import ModelConfig, PreprocessingConfig, replace
from tubelet.features import FeatureClips
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.weights.image_vit_save import save_image_vit

FRAMES = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8)


def made(num_classes: Any = 3) -> ViViT:
    config = ModelConfig(
        image_size=16, num_frames=4, tubelet_size=(2, 8, 8), hidden_size=16, num_layers=1, num_heads=2, mlp_dim=16,
        num_classes=num_classes,
    )  # fmt: skip
    return ViViT(config, PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))).eval()


def test_a_wrapped_model_is_initialised(tmp_path: Path) -> None:
    image = made()
    fields = {"embedding": "uniform_frames", "num_frames": 1, "tubelet_size": (1, 8, 8)}
    file = save_image_vit(ViViT(replace(image.config, **fields)), tmp_path / "image.npz")
    model = made()
    tubelet.initialise(nn.DataParallel(model), file)
    assert "encoder.blocks.0.mlp.fc1.weight" in model.load_report.names("loaded")


class PeftModel(nn.Module):
    """What peft's class of this name offers of the model in it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_model = base

    def get_base_model(self) -> nn.Module:
        return self.base_model


PeftModel.__module__ = "peft.peft_model"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: torch.compile(model, backend="eager"),
        nn.DataParallel,
        PeftModel,
        lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    ],
    ids=["compile", "DataParallel", "peft", "both"],
)
def test_a_wrapped_model_predicts_streams_and_is_saved_as_the_model_in_it(wrap: Any, tmp_path: Path) -> None:
    model = made()
    expected, wrapped = tubelet.predict(model, FRAMES), wrap(model)
    found = tubelet.predict(wrapped, FRAMES)
    assert torch.equal(found.logits, expected.logits)
    (decision,) = tubelet.stream(wrapped, FRAMES)
    assert decision.probability == pytest.approx(expected.probability, abs=1e-5)
    assert tubelet.weights.adapt(wrapped, num_classes=7).config.num_classes == 7
    tubelet.convert(wrapped, tmp_path / "model")
    assert torch.equal(tubelet.predict(tmp_path / "model", FRAMES).logits, expected.logits)


def test_something_else_than_a_model_is_named() -> None:
    for given in (nn.Linear(1, 1), nn.Sequential(made())):
        with pytest.raises(tubelet.ConfigError, match=f"got a {type(given).__name__}"):
            unwrapped(given)
        with pytest.raises(tubelet.ConfigError, match="expected a ViViT"):
            tubelet.predict(given, FRAMES)


@pytest.mark.parametrize("head", [nn.Linear(16, 5), nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 5))])
def test_a_head_that_the_configuration_does_not_know_is_refused_with_what_to_do(
    head: nn.Module, tmp_path: Path
) -> None:
    model = made()
    model.labels, model.head = {"label": ["a", "b", "c"]}, head
    with pytest.raises(tubelet.ConfigError, match=r"reset_classifier\(5\)"):
        tubelet.predict(model, FRAMES)
    with pytest.raises(tubelet.ConfigError, match=r"reset_classifier\(5\)"):
        next(tubelet.stream(model, FRAMES))
    with pytest.raises(tubelet.ConfigError, match="head"):
        tubelet.save(model, tmp_path / "model")
    with pytest.raises(tubelet.ConfigError, match="head"):
        tubelet.convert(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    model.reset_classifier(5)
    assert tubelet.predict(model, FRAMES).logits.shape == (5,)


class Adapter(nn.Module):
    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 1


def test_a_changed_layer_is_not_saved_as_if_it_were_the_old_one(tmp_path: Path) -> None:
    model = made()
    attention = model.encoder.blocks[0].attention
    qkv, attention.qkv = attention.qkv, Adapter(attention.qkv)
    with pytest.raises(tubelet.ConfigError, match=r"encoder.blocks.0.attention.qkv \(Adapter\)"):
        tubelet.save(model, tmp_path / "model")
    attention.qkv = qkv
    tubelet.save(tubelet.optimise(model), tmp_path / "model")
    assert torch.equal(tubelet.predict(tmp_path / "model", FRAMES).logits, tubelet.predict(model, FRAMES).logits)


def test_features_of_a_model_that_merges_tokens_are_not_kept_as_the_models(tmp_path: Path) -> None:
    (tmp_path / "clips" / "a").mkdir(parents=True)
    tubelet.write_video(tmp_path / "clips" / "a" / "0.mp4", FRAMES, 10)
    table = tubelet.data.read_table(tmp_path / "clips")
    with pytest.raises(tubelet.ConfigError, match=r"encoder \(MergingEncoder\)"):
        FeatureClips(table, tubelet.merge_tokens(made(), 0.3), "encoder", tmp_path / "features")
    FeatureClips(table, made(), "encoder", tmp_path / "features")


def test_a_head_may_have_the_name_of_a_method(tmp_path: Path) -> None:
    heads = {"type": 2, "values": 3, "keys": 4, "train": 2, "verb": 5, "training": 2}
    model = made(heads)
    logits = model(torch.randn(1, 4, 3, 16, 16))
    assert {name: values.shape[1] for name, values in logits.items()} == heads
    model.train()
    tubelet.save(model.eval(), tmp_path / "model")
    for name, values in tubelet.load(tmp_path / "model")(torch.ones(1, 4, 3, 16, 16)).items():
        torch.testing.assert_close(values, model(torch.ones(1, 4, 3, 16, 16))[name])
    torch.export.export(model, (torch.ones(1, 4, 3, 16, 16),))


def test_logits_of_a_result_can_be_changed_and_differentiated() -> None:
    logits = tubelet.predict(made(), FRAMES).logits
    logits += 1
    logits.requires_grad_().sum().backward()
    assert torch.equal(logits.grad, torch.ones_like(logits))
