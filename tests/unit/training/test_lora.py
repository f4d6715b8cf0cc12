"""Adapters: what learns, that they are delivered as plain weights, and that a training resumes with them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from reporters import StopsAt
from tubelet.config import TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.fast import training_form
from tubelet.training import SilentReporter, TrainingInterrupted, train
from tubelet.training.adapters import add_adapters, is_adapter, merged
from tubelet.training.checkpoint import load_checkpoint

VARIANTS = ("vivit_tiny_16x2", "vivit_tiny_16x2_fe", "vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fdp")
SILENT = SilentReporter()


def model_of(preset: str, **fields: object) -> tubelet.ViViT:
    own = {**tiny.MODEL, "temporal_layers": 1 if preset.endswith("fe") else None}
    return tubelet.create(preset, num_classes=3, **{**own, **fields})


def with_adapters(preset: str) -> tubelet.ViViT:
    """In double precision, and as if they had learned: at first an adapter adds nothing."""
    model = model_of(preset)
    add_adapters(model, 2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model.double()


@pytest.mark.parametrize("preset", VARIANTS)
def test_an_adapter_adds_nothing_at_first_and_is_merged_into_plain_layers(preset: str) -> None:
    plain, video = model_of(preset).eval(), torch.randn(2, 4, 3, 16, 16)
    before, names = plain(video), list(plain.state_dict())
    add_adapters(plain, 2)
    torch.testing.assert_close(plain(video), before)
    model = with_adapters(preset).eval()
    alone = merged(model)
    assert list(alone.state_dict()) == names
    assert all(parameter.requires_grad for parameter in alone.parameters())
    torch.testing.assert_close(alone(video.double()), model(video.double()), atol=1e-12, rtol=1e-10)
    with_nothing = {name: value for name, value in model.state_dict().items() if "base_layer" in name}
    layer = "blocks.1.mlp.fc2"
    base = next(value for name, value in with_nothing.items() if f"{layer}.base_layer.weight" in name)
    assert not torch.equal(base, next(value for name, value in alone.state_dict().items() if f"{layer}.weight" in name))


@pytest.mark.parametrize("preset", VARIANTS)
def test_every_adapter_and_the_head_learn_in_the_training_form_and_nothing_else(preset: str) -> None:
    """Where the class token is pooled, the fast form computes it alone in the last block, from the layers' weights."""
    model = with_adapters(preset).train()
    form, video = training_form(model), torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(form(video), model(video), atol=1e-12, rtol=1e-10)
    form(video).square().sum().backward()
    blocks = 2 + (preset.endswith("fe")) * 1
    adapters = [parameter for name, parameter in model.named_parameters() if is_adapter(name)]
    layers = 6 if preset.endswith("fsa") else 4
    assert len(adapters) == 2 * layers * blocks
    for name, parameter in model.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.abs().sum())
        assert learns == (is_adapter(name) or name.startswith("head")), name


@pytest.fixture(scope="module")
def start(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a stem that has BatchNorms, to start from."""
    config = tiny.train_config({"embedding": "conv_stem", "drop_path": 0.1}, epochs=1, cache="memory")
    return train(clips, tmp_path_factory.mktemp("start") / "run", config=config, reporter=SILENT).folder


@pytest.fixture
def lora(tiny: TrainConfig, start: Path) -> TrainConfig:
    config = override(tiny, init=str(start), lora=2, learning_rate=1e-2, ema_decay=0.9, layer_decay=0.5)
    return dataclasses.replace(config, preset=None, model={})


def test_a_run_delivers_plain_weights_in_which_only_layers_with_adapters_and_the_head_changed(
    clips: Path, tmp_path: Path, start: Path, lora: TrainConfig
) -> None:
    result = train(clips, tmp_path / "run", config=lora, reporter=SILENT)
    before, after = tubelet.load(start), tubelet.load(tmp_path / "run")
    assert list(after.state_dict()) == list(before.state_dict())
    for name, value in before.state_dict().items():
        adapted = name.endswith(("qkv.weight", "out.weight", "fc1.weight", "fc2.weight"))
        if not name.startswith("head"):
            assert torch.equal(value, after.state_dict()[name]) != adapted, name
    stored = load_checkpoint(tmp_path / "run" / "checkpoints" / "last").weights
    assert any(is_adapter(name) for name in stored)
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in result.model.state_dict().items())


def test_a_run_that_was_stopped_goes_on_with_its_adapters_to_the_bit(
    clips: Path, tmp_path: Path, lora: TrainConfig
) -> None:
    whole = train(clips, tmp_path / "whole", config=lora, reporter=SILENT)
    with pytest.raises(TrainingInterrupted):
        train(clips, tmp_path / "cut", config=lora, reporter=StopsAt(4))
    resumed = train(out=tmp_path / "cut", resume=True, reporter=SILENT)
    for one, other in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match=r"optimisation\.lora was 2"):
        train(out=tmp_path / "cut", resume=True, lora=4, reporter=SILENT)


def test_what_cannot_go_together_is_said(
    clips: Path, tmp_path: Path, tiny: TrainConfig, lora: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="freeze='encoder' must be left out"):
        override(lora, freeze="encoder")
    with pytest.raises(ConfigError, match="lora=2 would keep random weights"):
        train(clips, tmp_path / "run", config=override(tiny, lora=2), reporter=SILENT)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'tubelet\[lora\]'"):
        train(clips, tmp_path / "run", config=lora, reporter=SILENT)
    assert not (tmp_path / "run").exists()
