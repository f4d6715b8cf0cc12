"""Attention of a researcher's own in every block: trained, resumed, evaluated, predicted with, optimised."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import tiny
import tubelet
from reporters import KilledAt, KilledError
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.training import SilentReporter


class Mean(nn.Module):
    """A token becomes a linear map of the mean over all."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.linear(x.mean(dim=1, keepdim=True).expand_as(x))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bars(tmp_path_factory.mktemp("data") / "clips", ("down", "left"))


def made(preset: str) -> ViViT:
    torch.manual_seed(0)
    temporal = {"temporal_layers": 1 if preset.endswith("fe") else None}
    model = tubelet.create(preset, num_classes=2, **{**tiny.MODEL, **temporal})
    for module in list(model.modules()):
        if hasattr(module, "attention"):
            module.attention = Mean(24)
    return model


FIELDS = {"epochs": 2, "warmup_epochs": 0, "batch_size": 3, "workers": 0, "device": "cpu"}


@pytest.mark.parametrize("preset", ["vivit_tiny_16x2", "vivit_tiny_16x2_fe"])
def test_a_model_with_attention_of_ones_own_goes_the_whole_way(clips: Path, tmp_path: Path, preset: str) -> None:
    model, fired = made(preset), Counter[str]()
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.LayerNorm)]
    for name in layers:
        model.get_submodule(name).register_full_backward_hook(lambda *given, name=name: fired.update([name]))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    result = tubelet.train(clips, tmp_path / "run", model=model, reporter=SilentReporter(), **FIELDS)
    assert fired == dict.fromkeys(layers, result.steps), "a backward hook fires once a step"
    trained = result.model.state_dict()
    still = [name for name, value in trained.items() if torch.equal(value, start[name])]
    assert still == []
    assert trained.keys() == load_file(tmp_path / "run" / "model.safetensors").keys()

    evaluation = tubelet.evaluate(result.model, clips, device="cpu", include_learned=True)
    video = clips / "down" / "0.mp4"
    found = next(each for each in evaluation.predictions if Path(each.path) == video)
    prediction = tubelet.predict(result.model, video, device="cpu", views=evaluation.views)
    assert prediction.logits.tolist() == pytest.approx(found.logits["label"], abs=1e-5)
    batch = torch.randn(2, 4, 3, 16, 16)
    torch.testing.assert_close(
        tubelet.optimise(result.model)(batch), result.model(batch).detach(), atol=1e-5, rtol=1e-5
    )

    with pytest.raises(WeightsError, match=r"layers that no file describes.*blocks\.0\.attention \(Mean\).*load_file"):
        tubelet.load(tmp_path / "run")


def test_a_training_with_attention_of_ones_own_is_resumed_with_such_a_model(clips: Path, tmp_path: Path) -> None:
    preset = "vivit_tiny_16x2_fe"
    whole = tubelet.train(clips, tmp_path / "whole", model=made(preset), reporter=SilentReporter(), **FIELDS)
    with pytest.raises(KilledError):
        tubelet.train(clips, tmp_path / "run", model=made(preset), reporter=KilledAt(3), checkpoint_steps=2, **FIELDS)
    again = {"out": tmp_path / "run", "resume": True, "reporter": SilentReporter()}
    with pytest.raises(ConfigError, match=r"layers of its own.*attention \(Mean\).*resume=True"):
        tubelet.train(**again)
    resumed = tubelet.train(**again, model=made(preset))
    assert resumed.steps == whole.steps
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    plain = tubelet.create(preset, num_classes=2, **tiny.MODEL)
    tubelet.train(clips, tmp_path / "plain", model=plain, reporter=SilentReporter(), **{**FIELDS, "epochs": 1})
    with pytest.raises(ConfigError, match="another one was given; leave it out"):
        tubelet.train(out=tmp_path / "plain", resume=True, model=made(preset), reporter=SilentReporter())
