"""`optimise(precision=...)`: bfloat16 where it is faster and the sample clips keep their classes, and aloud."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.errors import ConfigError
from tubelet.fast.bfloat16 import Bfloat16ViViT
from tubelet.model import ViViT
from tubelet.runs import SampleClips, precision
from tubelet.runs.samples import sample_logits


@pytest.fixture
def model(run: Path) -> ViViT:
    return tubelet.load(run)


@pytest.fixture
def bfloat16_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: True)
    monkeypatch.setattr(precision, "seconds_in_turn", lambda calls, rounds: [0.3, 0.1])


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_auto_says_that_it_takes_bfloat16(model: ViViT) -> None:
    with pytest.warns(UserWarning, match=r"bfloat16 instead of float32: 0.1 s a clip .* 6 of 6 sample clips"):
        chosen = tubelet.optimise(model, precision="auto")
    video = torch.randn(2, 4, 3, 16, 16)
    with torch.no_grad():
        expected = model(video)
    given = chosen(video)
    assert isinstance(given, torch.Tensor)
    assert given.dtype == torch.float32
    difference = (given - expected).abs().max() / expected.abs().max()
    assert 0 < difference < 0.05
    assert torch.equal(given, tubelet.optimise(model, precision="bfloat16")(video))


@pytest.mark.usefixtures("bfloat16_is_fast")
def test_auto_stays_exact_where_a_clip_would_get_another_answer(model: ViViT) -> None:
    weight, bias = model.get_parameter("head.weight"), model.get_parameter("head.bias")
    assert model.sample_clips is not None
    logits = sample_logits(model, *next(iter(SampleClips.read(model.sample_clips))))["label"]
    with torch.no_grad():
        bias -= logits  # the first clip has two classes alike
        for parameter in (weight, bias):
            parameter.mul_(200)
    chosen = tubelet.optimise(model, precision="auto")
    assert not isinstance(chosen, Bfloat16ViViT)
    assert "0.01 is allowed" in str(chosen.precision_report)


def test_auto_stays_exact_without_units_for_bfloat16(model: ViViT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: False)
    chosen = tubelet.optimise(model, precision="auto")
    assert not isinstance(chosen, Bfloat16ViViT)
    assert chosen.precision_report == "cpu has no units for bfloat16"


def test_what_cannot_be_decided_or_combined_is_refused(model: ViViT) -> None:
    with pytest.raises(ConfigError, match="sample clips of a training"):
        tubelet.optimise(ViViT(model.config).eval(), precision="auto")
    with pytest.raises(ConfigError, match="backend='torch'"):
        tubelet.optimise(model, backend="openvino", precision="bfloat16")
    with pytest.raises(ConfigError, match="auto, float32, bfloat16"):
        tubelet.optimise(model, precision="float16")  # type: ignore[call-overload]
